"""The notebooks of the documentation run from top to bottom, and their own assertions hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docs.hooks import executed, to_markdown

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS][:3] == ["01_first_run", "02_errors_retry_debug", "03_groups_and_batches"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_outputs_and_ends_on_assertions(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
    assert "assert" in "".join(cells[-1]["source"])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_its_displays_end_as_text_and_html(path, tmp_path):
    notebook = executed(path, tmp_path)
    outputs = [
        each for cell in notebook.cells for each in cell.get("outputs", ()) if each.output_type == "display_data"
    ]
    shown = [each.data for each in outputs if "oqkit" in each.data.get("text/html", "")]
    assert shown
    assert all(sorted(data) == ["text/html", "text/plain"] for data in shown), "a widget is left that nobody could open"
    assert all("100 %" in data["text/plain"] for data in shown)
    page = to_markdown(notebook)
    assert all(data["text/html"] in page for data in shown), "the documentation shows them"
