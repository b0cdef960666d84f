"""Notebook 01 in a real JupyterLab, seen and used through a real browser; every step is photographed.

The screenshots, in both themes at two widths, are in ``build/screenshots/``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pytest

from tests.notebook.lab import ARGUMENTS, CHROMIUM, PATIENCE_S, jupyterlab
from tests.notebook.page import ROOT, SCREENSHOTS, WIDTHS, Notebook

MORE_CELLS = {
    "submit": """def slow(distance: float) -> float:
    time.sleep(0.2)
    return distance


more_workers = oq.local_workers(1)
second = oq.submit_frame(flights[["distance"]], slow, name="second")
second""",
    "wait": "second.wait()",
    "board": "oq.board()",
    "attach": """import oqkit as oq

oq.connect("flights-queue")
oq.job("second")""",
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
]
WATCH_BARS = """() => {
    window.bars = {}
    new MutationObserver(changes => changes.forEach(({target}) => {
        const label = target.closest("[aria-label^='Job ']")?.getAttribute("aria-label")
        const seen = window.bars[label] = window.bars[label] || []
        const share = Number(target.getAttribute("aria-valuenow"))
        if (label && share !== seen[seen.length - 1]) seen.push(share)
    })).observe(document.body, {attributes: true, attributeFilter: ["aria-valuenow"], subtree: true})
}"""
READ_ROWS = (
    """node => [...node.querySelectorAll("tbody tr")].map(row => [...row.cells].map(cell => cell.innerText.trim()))"""
)


@pytest.fixture
def notebook():
    from playwright.sync_api import sync_playwright  # only where there is a browser

    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    SCREENSHOTS.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="oqkit-browser-") as folder, jupyterlab(Path(folder)) as lab:
        source = nbformat.read(ROOT / "notebooks" / "01_first_run.ipynb", 4)
        source.cells += [nbformat.v4.new_code_cell(text) for text in MORE_CELLS.values()]
        nbformat.write(source, Path(folder) / "01_first_run.ipynb")
        with sync_playwright() as playwright, tempfile.TemporaryDirectory(prefix="oqkit-chromium-") as profile:
            browser = playwright.chromium.launch_persistent_context(
                profile,
                executable_path=CHROMIUM,
                args=ARGUMENTS,
                headless=True,
                viewport={"width": WIDTHS[-1], "height": 1000},
            )
            page = browser.pages[0]
            page.set_default_timeout(PATIENCE_S * 1000)
            troubles: list[str] = []
            page.on("pageerror", lambda error: troubles.append(str(error)))
            opened = Notebook(page, Path(folder), "01_first_run.ipynb")
            opened.open(lab.url)
            yield opened
            page.screenshot(path=SCREENSHOTS / "99-last.png")
            browser.close()
            assert [each for each in troubles if "oqkit" in each or "widget" in each] == []


def text_of(locator) -> str:
    return " ".join(locator.first.inner_text().split())


def number(display, name: str) -> int:
    """Return how many tasks the legend says are in a segment."""
    keys = display.locator(f".oqkit-keys button:has(.oqkit-{name})")
    return int(keys.first.inner_text().split()[0].replace(",", "")) if keys.count() else 0


def wait_until(condition, page, what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what
        page.wait_for_timeout(150)


def test_notebook_is_watched_and_steered_through_a_browser(notebook):
    code = [n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    own, more = code[: -len(MORE_CELLS)], {name: notebook.index(source) for name, source in MORE_CELLS.items()}
    place, wait = (next(n for n in own if notebook.cells[n].source.endswith(end)) for end in ("\njob", "await job"))
    for index in own[: own.index(wait) + 1]:
        notebook.run(index)
    first = notebook.output(place).locator(".oqkit-live")
    watch_the_bar_move(notebook, first)
    open_an_error_and_retry(notebook, first)
    filter_the_table(notebook, first)
    notebook.until_ran(wait)
    wait_until(lambda: "failed" in text_of(first.locator(".oqkit-status")), notebook.page, "the end")
    search_the_table(notebook, first)
    run_the_rest(notebook, own[own.index(wait) + 1 :])
    notebook.shoot("ended", first)
    first.get_by_role("button", name="Tasks", exact=True).click()
    second = submit_another_and_interrupt_its_wait(notebook, more)
    pause_and_resume(notebook, second)
    cancel(notebook, second)
    open_the_board(notebook, more)
    see_what_is_frozen(notebook, place)
    restart_and_attach(notebook, more)
    convert(notebook)


def watch_the_bar_move(notebook, display):
    display.wait_for()
    notebook.page.evaluate(WATCH_BARS)
    wait_until(lambda: number(display, "completed") > 0, notebook.page, "tasks complete")
    notebook.shoot("running", display)
    notebook.check_steady(display)
    notebook.page.wait_for_function("() => (window.bars['Job first-run'] || []).length >= 3")
    seen = notebook.page.evaluate("() => window.bars['Job first-run']")
    assert seen == sorted(seen), "it never goes back"


def open_an_error_and_retry(notebook, display):
    """Both while a cell awaits the job."""
    display.get_by_role("button", name="Errors").click()
    display.locator(".oqkit-group > button").first.click()
    display.locator(".oqkit-inside pre").first.wait_for()
    assert "PermanentError: never took off" in text_of(display.locator(".oqkit-inside pre"))
    notebook.shoot("error", display)
    display.get_by_role("button", name="Retry failed").click()
    wait_until(lambda: "will run again" in text_of(display.locator(".oqkit-said")), notebook.page, "a retry")
    notebook.shoot("retried", display)
    display.get_by_role("button", name="Errors").click()


def filter_the_table(notebook, display):
    page = notebook.page
    display.get_by_role("button", name="Tasks", exact=True).click()
    display.locator("select").select_option("completed")
    until_rows(display, page, lambda rows: len(rows) == 25 and {row[2] for row in rows} == {"completed"})
    notebook.shoot("table", display)
    display.get_by_role("button", name="Next page").click()
    wait_until(lambda: "50 of" in text_of(display.locator(".oqkit-pager")), page, "the next page")


def search_the_table(notebook, display):
    """When the job has ended, so that no row that is open goes away."""
    display.locator("select").select_option("")
    display.get_by_role("searchbox").fill("never took off")
    until_rows(display, notebook.page, lambda rows: len(rows) == 25 and all("never" in row[4] for row in rows))
    display.locator("tbody button").first.click()
    display.locator("tbody dl").first.wait_for()
    notebook.shoot("task", display)


def until_rows(display, page, condition) -> None:
    """Wait until the rows of the table, all read at one moment, are as wanted."""
    wait_until(lambda: condition(display.first.evaluate(READ_ROWS)), page, "rows of the table")


def run_the_rest(notebook, cells):
    for index in cells:
        notebook.run(index)
    notebook.until_ran(cells[-1])
    assert notebook.output(cells[-1]).get_by_text("Error").count() == 0, "the notebook's own assertions hold"


def submit_another_and_interrupt_its_wait(notebook, more):
    notebook.run(more["submit"])
    second = notebook.output(more["submit"]).locator(".oqkit-live")
    second.wait_for()
    notebook.until_ran(more["submit"])
    notebook.run(more["wait"])
    bar = notebook.output(more["wait"]).locator(".oqkit-static")
    bar.wait_for()
    wait_until(lambda: "running" in text_of(bar), notebook.page, "the wait shows where the job is")
    notebook.shoot("waiting", bar)
    notebook.check_steady(bar)
    start = time.monotonic()
    notebook.command("notebook:interrupt-kernel")
    error = notebook.output(more["wait"]).get_by_text("Stopped waiting")
    error.wait_for()
    print(f"the interrupt took {time.monotonic() - start:.2f} s, as seen in the browser")
    assert "Come back with oq.job('second')" in text_of(error)
    notebook.shoot("interrupted", error)
    return second


def pause_and_resume(notebook, display):
    """One button, whose label says what it does now."""
    display.get_by_role("button", name="Pause", exact=True).click()
    wait_until(lambda: "paused" in text_of(display.locator(".oqkit-status")), notebook.page, "the job is paused")
    display.get_by_text("Paused at").wait_for()
    notebook.shoot("paused", display)
    display.get_by_role("button", name="Resume", exact=True).click()
    wait_until(lambda: "running" in text_of(display.locator(".oqkit-status")), notebook.page, "the job is resumed")
    display.get_by_role("button", name="Pause", exact=True).wait_for()


def cancel(notebook, display):
    """Between cells."""
    display.get_by_role("button", name="Cancel", exact=True).click()
    notebook.shoot("asking", display)
    display.get_by_role("button", name="Cancel the job").click()
    wait_until(lambda: "cancelled" in text_of(display.locator(".oqkit-status")), notebook.page, "the job is cancelled")
    notebook.shoot("cancelled", display)


def open_the_board(notebook, more):
    notebook.run(more["board"])
    board = notebook.output(more["board"]).locator(".oqkit-board")
    board.wait_for()
    board.get_by_role("button", name="second").click()
    board.locator(".oqkit-bar[role=progressbar]").wait_for()
    assert "cancelled" in text_of(board.locator(".oqkit-keys"))
    board.get_by_role("button", name="Refresh").click()
    board.get_by_role("button", name="Tasks", exact=True).click()
    wait_until(lambda: "of 2,000" in text_of(board.locator(".oqkit-pager")), notebook.page, "tasks on the board")
    board.get_by_role("button", name="Tasks", exact=True).click()
    notebook.shoot("board", board)


def see_what_is_frozen(notebook, place):
    """A display of a job that ended, and that nobody used for a minute, is static HTML."""
    frozen = notebook.output(place).locator(".oqkit-static")
    frozen.wait_for(timeout=180_000)
    frozen.locator("summary").first.click()
    assert "never took off" in text_of(frozen.locator("pre"))
    notebook.shoot("frozen", frozen)


def restart_and_attach(notebook, more):
    """What was still live becomes static, also in what is saved; the job is found again by its name."""
    notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    see_no_dead_controls(notebook, more)
    notebook.shoot("restarted", notebook.output(more["board"]).locator(".oqkit-static"))
    notebook.until_idle()
    notebook.save()
    notebook.page.reload()
    notebook.until_idle()
    see_no_dead_controls(notebook, more)
    notebook.shoot("reloaded", notebook.output(more["submit"]).locator(".oqkit-static"))
    notebook.run(more["attach"])
    attached = notebook.output(more["attach"]).locator(".oqkit-live")
    attached.wait_for()
    assert number(attached, "cancelled") > 0
    notebook.shoot("attached", attached)


def see_no_dead_controls(notebook, more):
    for name in ("submit", "board"):
        notebook.output(more[name]).locator(".oqkit-static").first.wait_for()
    board = notebook.output(more["board"])
    assert "This kernel has ended" in text_of(board)
    assert "2,000 tasks of slow" in text_of(board), "the job that was open"
    outputs = notebook.page.locator(".jp-Cell-outputWrapper")
    assert outputs.locator(".oqkit-live, .oqkit button, .oqkit input").count() == 0
    assert outputs.get_by_text("model not found").count() == 0
    assert outputs.get_by_text("Loading widget").count() == 0


def convert(notebook):
    """What is saved has the final state, and nbconvert finds it."""
    notebook.save()
    html = converted(notebook.path)
    assert "1,974 completed" in html
    assert "26 × PermanentError: never took off" in html  # noqa: RUF001 - times
    photograph(notebook.page, html, notebook)


def converted(path: Path) -> str:
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", str(path)],
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    return path.with_suffix(".html").read_text(encoding="utf-8")


def photograph(page, html: str, notebook: Notebook) -> None:
    """Show nbconvert's page, without asking any other machine for its scripts."""
    page.route("https://**", lambda route: route.abort())
    file = notebook.path.with_suffix(".html")
    file.write_text(html, encoding="utf-8")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 1000})
            page.goto(file.as_uri(), wait_until="domcontentloaded")
            display = page.locator(".oqkit-static").first
            display.evaluate("node => node.scrollIntoView({block: 'nearest'})")
            notebook.check_layout(display, f"nbconvert, {scheme}, {width}")
            page.screenshot(path=SCREENSHOTS / f"{notebook.n_steps + 1:02d}-nbconvert-{scheme}-{width}.png")
