"""The live widget: one anywidget model a job, and the messages that go through it.

Imported late, by `oqkit.notebook.display`: anywidget and ipywidgets take half a second, and may be missing.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Mapping
from typing import Any

import anywidget
import traitlets

from oqkit.notebook.html import base_css, read_front
from oqkit.notebook.message import MessageHandler, Question

SCRIPT = read_front("widget.js")
STYLE = base_css() + read_front("table.css") + read_front("widget.css")


class FrontView(anywidget.AnyWidget):
    """A widget that widget.js draws; it finds the output that shows it by `own_id`."""

    _esm = SCRIPT
    _css = STYLE
    own_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, **state: object) -> None:
        own_id = uuid.uuid4().hex
        super().__init__(model_id=own_id, own_id=own_id, **state)


class View(FrontView):
    """What the browser draws: `state`, and nothing that it could change."""

    state = traitlets.Dict().tag(sync=True)


def bundle_of(widget: anywidget.AnyWidget) -> dict[str, object]:
    """Return what makes a front end show a widget, without its own text."""
    made: Any = widget._repr_mimebundle_()
    data: dict[str, object] = made[0] if isinstance(made, tuple) else made
    return {name: value for name, value in data.items() if name.startswith("application/")}


class WidgetModel:
    """A `Model` in a browser."""

    def __init__(self, state: Mapping[str, object], handler: MessageHandler) -> None:
        self._view = View(state=dict(state))
        self._handler = handler
        self._view.on_msg(self._on_message)

    def paint(self, state: Mapping[str, object]) -> None:
        self._view.state = dict(state)

    def bundle(self) -> Mapping[str, object]:
        return bundle_of(self._view)

    def close(self) -> None:
        self._view.close()

    def _on_message(self, _: object, message: object, __: object) -> None:
        """Take one message on the kernel's main thread; whatever may take long is answered from another one."""
        if not isinstance(message, Mapping) or self._handler.hear(message):
            return
        threading.Thread(target=self._answer, args=(dict(message),), name="oqkit-answer", daemon=True).start()

    def _answer(self, message: Mapping[str, object]) -> None:
        try:
            answer = self._handler.answer(message)
        except Exception as error:  # noqa: BLE001 - a thread must not print; the asker is told
            answer = {
                **Question(message).head,
                "refused": f"The answer failed: {type(error).__name__}: {str(error)[:300]}",
            }
        with contextlib.suppress(AttributeError):  # closed meanwhile: there is no comm any more
            self._view.send(answer)
