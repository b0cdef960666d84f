"""The widget's script in a real browser, with a model that answers from here: foreign text stays text."""

from __future__ import annotations

import json

import pytest

from oqkit.notebook.board import Jobs, board_state
from oqkit.notebook.html import base_css, read_front
from oqkit.notebook.message import MessageHandler
from oqkit.notebook.state import to_state
from tests.notebook.lab import ARGUMENTS, CHROMIUM
from tests.notebook.xss import CORPUS, hostile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
]

FAKE = """
window.alarms = []
window.alert = text => window.alarms.push(text)
window.unanswered = 0
window.model = values => {
    const calls = new Map()
    const fire = (name, ...more) => (calls.get(name) || []).forEach(call => call(...more))
    return {
        get: name => values[name],
        on: (name, call) => calls.set(name, [...(calls.get(name) || []), call]),
        off: () => {},
        send: async content => {
            window.unanswered += 1
            const answer = JSON.parse(await window.answer(JSON.stringify(content)))
            fire("msg:custom", answer)
            window.unanswered -= 1
        },
    }
}
"""
DRAW = """async ([values, script]) => {
    document.body.replaceChildren()
    const el = document.createElement("div")
    document.body.append(el)
    window.oqkit.render({model: window.model(values), el})
    const settled = async () => {
        do await new Promise(resolve => setTimeout(resolve, 0))
        while (window.unanswered)
    }
    const press = async text => {
        [...el.querySelectorAll("button")].find(each => each.textContent.startsWith(text))?.click()
        await settled()
    }
    await press("Errors")
    el.querySelector(".oqkit-group > button")?.click()
    await settled()
    await press("Tasks")
    el.querySelector("tbody .oqkit-open")?.click()
    await settled()
    return {
        text: el.textContent,
        tags: [...new Set([...el.querySelectorAll("*")].map(each => each.tagName.toLowerCase()))],
        attributes: [...new Set([...el.querySelectorAll("*")].flatMap(each => each.getAttributeNames()))],
        alarms: window.alarms,
    }
}"""
KNOWN_TAGS = {
    "div",
    "p",
    "b",
    "span",
    "button",
    "svg",
    "polygon",
    "polyline",
    "rect",
    "title",
    "figure",
    "figcaption",
    "label",
    "select",
    "option",
    "input",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "pre",
    "dl",
    "dt",
    "dd",
    "h4",
    "code",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    from playwright.sync_api import sync_playwright  # only where there is a browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, args=ARGUMENTS, headless=True
        )
        opened = browser.pages[0]
        opened.set_content("<!doctype html><html><body></body></html>")
        opened.add_style_tag(content=base_css() + read_front("table.css") + read_front("widget.css"))
        opened.add_script_tag(content=FAKE)
        script = read_front("widget.js").replace("export default {render}", "window.oqkit = {render}")
        opened.add_script_tag(content=script, type="module")
        opened.wait_for_function("window.oqkit")
        handlers: list[MessageHandler] = []

        def answer(question):
            message = json.loads(question)
            return json.dumps(handlers[-1].answer(message) if handlers and not handlers[-1].hear(message) else {})

        opened.expose_function("answer", answer)
        opened.handlers = handlers
        yield opened
        browser.close()


@pytest.mark.parametrize("text", CORPUS)
def test_foreign_text_stays_text_in_the_widget(world, page, text):
    live = world.live(hostile(world, text))
    live.watch.refresh()
    page.handlers.append(MessageHandler(live, wake=lambda: None))
    drawn = page.evaluate(DRAW, [{"state": to_state(live.watch.snapshot())}, ""])
    assert drawn["alarms"] == []
    assert set(drawn["tags"]) <= KNOWN_TAGS
    assert not [name for name in drawn["attributes"] if name.startswith("on") or name in {"src", "href", "srcdoc"}]
    assert drawn["text"].count(text) >= 5, "name, group, traceback, table and input say it as it is"
    board = board_state(Jobs(world.repository, limit=5).look())
    drawn = page.evaluate(DRAW, [{"board": board, "states": {}}, ""])
    assert drawn["alarms"] == []
    assert set(drawn["tags"]) <= KNOWN_TAGS
