"""One notebook, open in a browser."""

from __future__ import annotations

import itertools
from pathlib import Path

import nbformat

from tests.notebook.lab import THEMES

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
WIDTHS = (800, 1600)


class Notebook:
    """One notebook, open in a browser."""

    def __init__(self, page, folder: Path, name: str) -> None:
        self.page = page
        self.path = folder / name
        self.cells = nbformat.read(self.path, 4).cells
        self.n_steps = 0
        self.width = WIDTHS[-1]

    def open(self, url: str) -> None:
        self.page.goto(f"{url}/doc/tree/{self.path.name}")
        self.until_idle()

    def until_idle(self) -> None:
        self.page.wait_for_function(
            """() => {
                const context = window.jupyterapp?.shell?.currentWidget?.sessionContext
                return context && context.isReady && context.session?.kernel?.status === "idle"
            }"""
        )

    def command(self, name: str) -> None:
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name) }", name)

    def save(self) -> None:
        """Save; returns when the file is written."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save').then(() => null)")

    def run(self, index: int) -> None:
        """Start a cell; does not wait for it."""
        self.page.evaluate(
            """index => {
                const notebook = window.jupyterapp.shell.currentWidget.content
                notebook.activeCellIndex = index
                notebook.deselectAll()
                window.jupyterapp.commands.execute("notebook:run-cell")
            }""",
            index,
        )

    def index(self, source: str) -> int:
        return next(n for n, cell in enumerate(self.cells) if cell.source == source)

    def output(self, index: int):
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-Cell-outputWrapper")

    def until_ran(self, index: int) -> None:
        """Wait until a cell has its number."""
        self.page.wait_for_function(
            """index => {
                const model = window.jupyterapp.shell.currentWidget.content.widgets[index].model
                return model.executionCount !== null && model.executionState !== "running"
            }""",
            arg=index,
        )

    def shoot(self, name: str, what) -> None:
        """Photograph what is on the page around `what`, in both themes and widths."""
        self.n_steps += 1
        for theme, title in THEMES.items():
            self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", title)
            self.page.wait_for_function(
                "isLight => document.body.dataset.jpThemeLight === isLight", arg=str(theme == "light").lower()
            )
            for width in WIDTHS:
                self.page.set_viewport_size({"width": width, "height": 1000})
                what.first.evaluate("node => node.scrollIntoView({block: 'nearest'})")
                self.page.wait_for_timeout(250)
                self.check_layout(what, f"{name}, {theme}, {width}")
                self.page.screenshot(path=SCREENSHOTS / f"{self.n_steps:02d}-{name}-{theme}-{width}.png")

    def check_layout(self, what, where: str) -> None:
        """Nothing may stick out of its display, and no two of its parts may overlap."""
        wrong = what.first.evaluate(CHECK_LAYOUT)
        assert wrong == [], where

    def check_steady(self, what) -> None:
        """Watch an output through a few updates: one that shrinks and grows back flickers."""
        area = "xpath=ancestor::*[contains(concat(' ', @class, ' '), ' jp-OutputArea ')][1]"
        heights = what.first.locator(area).evaluate(HEIGHTS)  # `what` itself may be replaced with an update
        highest_after = list(itertools.accumulate(reversed(heights), max))[::-1]
        highest_before = itertools.accumulate(heights, max)
        dips = [
            height / min(before, after)
            for height, before, after in zip(heights, highest_before, highest_after, strict=True)
        ]
        assert min(dips) > 0.8


HEIGHTS = """async area => {
    const heights = [], end = performance.now() + 2500
    while (performance.now() < end) {
        await new Promise(requestAnimationFrame)
        heights.push(area.getBoundingClientRect().height)
    }
    return heights
}"""
CHECK_LAYOUT = """node => {
    const display = node.closest(".oqkit") || node.querySelector(".oqkit")
    if (!display) return []
    const wrong = []
    const frame = display.getBoundingClientRect()
    for (const each of display.querySelectorAll("*")) {
        const box = each.getBoundingClientRect()
        if (!box.width || each.closest(".oqkit-hush, .oqkit-scroll, svg")) continue
        if (box.right > frame.right + 1 || box.left < frame.left - 1) wrong.push(`${each.className || each.tagName} sticks out`)
    }
    const blocks = [...display.children].filter(each => each.getBoundingClientRect().height && each.tagName !== "STYLE")
    blocks.slice(1).forEach((each, n) => {
        if (each.getBoundingClientRect().top < blocks[n].getBoundingClientRect().bottom - 1)
            wrong.push(`${each.className} overlaps ${blocks[n].className}`)
    })
    return wrong
}"""
