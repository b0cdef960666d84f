"""For mkdocs: the notebooks become pages, executed while the documentation is built, so that their outputs are new."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 300


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        with tempfile.TemporaryDirectory(prefix="oqkit-docs-") as folder:
            page = to_markdown(executed(path, Path(folder)))
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page))
    return files


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook in an empty folder, with the oqkit beside it and no queue but its own; return it with its outputs."""
    notebook = nbformat.read(path, 4)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OQ_")}
    environment["PYTHONPATH"] = str(ROOT)
    client = NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return notebook


def to_markdown(notebook: nbformat.NotebookNode) -> str:
    """Return a notebook with its outputs as Markdown; displays of jobs stay HTML."""
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    return str(text)
