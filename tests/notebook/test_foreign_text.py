"""Foreign text stays text, in every form of a display."""

from __future__ import annotations

import html.parser
import json
import subprocess
import sys

import nbformat
import pytest

from oqkit.notebook.board import Jobs, board_html, board_state, board_text
from oqkit.notebook.html import to_html
from oqkit.notebook.state import to_state
from oqkit.notebook.text import to_text
from tests.notebook.world import snapshot_of
from tests.notebook.xss import CORPUS, hostile


class Collected(html.parser.HTMLParser):
    """Which tags and attributes there are in some HTML, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


KNOWN_TAGS = {
    "style",
    "div",
    "p",
    "b",
    "span",
    "figure",
    "figcaption",
    "svg",
    "polygon",
    "polyline",
    "rect",
    "details",
    "summary",
    "pre",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}
KNOWN_ATTRIBUTES = {
    "class",
    "style",
    "role",
    "aria-label",
    "title",
    "viewbox",
    "preserveaspectratio",
    "points",
    "x",
    "y",
    "width",
    "height",
    "scope",
}


def test_corpus_holds_fifty_different_attacks():
    assert len(set(CORPUS)) == len(CORPUS) == 50


@pytest.mark.parametrize("text", CORPUS)
def test_foreign_text_stays_text_in_static_html(world, text):
    live = world.live(hostile(world, text))
    made = Collected(to_html(snapshot_of(live), note=text))
    assert made.tags <= KNOWN_TAGS
    assert made.attributes <= KNOWN_ATTRIBUTES
    board = Jobs(world.repository, limit=5).look()
    table = Collected(board_html(board, note=text))
    assert table.tags <= KNOWN_TAGS
    assert table.attributes <= KNOWN_ATTRIBUTES
    assert json.dumps(board_state(board))


@pytest.mark.parametrize("text", CORPUS)
def test_foreign_text_cannot_steer_a_terminal(world, text):
    plain = to_text(snapshot_of(world.live(hostile(world, text))))
    assert all(letter.isprintable() or letter == "\n" for letter in plain)
    told = board_text(Jobs(world.repository, limit=5).look())
    assert all(letter.isprintable() or letter == "\n" for letter in told)


def test_foreign_text_goes_to_the_widget_as_it_is(world):
    live = world.live(hostile(world, CORPUS[0]))
    state = to_state(snapshot_of(live))
    assert CORPUS[0] in state["label"]
    assert "innerHTML" not in widget_source()
    assert "insertAdjacentHTML" not in widget_source()
    assert "outerHTML =" not in widget_source()


def widget_source():
    from oqkit.notebook.html import read_front

    return read_front("widget.js")


@pytest.mark.slow
def test_foreign_text_stays_text_in_what_nbconvert_makes(world, tmp_path):
    cells = []
    for number, text in enumerate(CORPUS):
        live = world.live(hostile(world, text, name=f"{text} {number}"))
        bundle = live.bundle(snapshot_of(live), note=text)
        output = nbformat.v4.new_output("display_data", data=bundle)
        cells.append(nbformat.v4.new_code_cell("job", outputs=[output]))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "hostile.ipynb")
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        "--to",
        "html",
        "--template",
        "basic",
        str(tmp_path / "hostile.ipynb"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    made = Collected((tmp_path / "hostile.html").read_text(encoding="utf-8"))
    assert made.text.count("2 failed") == 50
    assert not made.tags & {
        "script",
        "iframe",
        "img",
        "object",
        "embed",
        "form",
        "input",
        "base",
        "link",
        "meta",
        "video",
        "audio",
    }
    assert not {name for name in made.attributes if name.startswith("on") or name in {"src", "srcdoc", "formaction"}}
