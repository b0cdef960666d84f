"""`pip install oqkit[testing]` is all that `oqkit.testing` needs, and without it the error says so."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SENTENCE = "oqkit.testing.simulation needs greenlet, which is not installed: pip install 'oqkit[testing]'"


def imported_by(folder: Path) -> set[str]:
    """Return the packages that the modules of a folder import, Python's own and oqkit left out."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"oqkit"}


def test_extra_and_the_dependencies_are_all_that_is_imported():
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["testing"]]
    names = {canonicalize_name(Requirement(one).name) for one in wanted}
    names.add("botocore")  # boto3 is made of it
    assert {canonicalize_name(name) for name in imported_by(ROOT / "oqkit" / "testing")} <= names


def test_extra_for_our_own_tests_has_it():
    extras = [Requirement(one) for one in PROJECT["optional-dependencies"]["test"]]
    assert "testing" in next(one for one in extras if one.name == "oqkit").extras


@pytest.mark.parametrize("module", ("oqkit.testing.simulation", "oqkit.testing.simulation.plan"))
def test_simulation_says_what_to_install_when_greenlet_is_missing(module):
    script = f"import sys; sys.modules['greenlet'] = None; import {module}"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == f"ModuleNotFoundError: {SENTENCE}"
    assert "During handling" not in ended.stderr


def test_rest_of_testing_works_without_greenlet_and_pytest():
    script = "import sys; sys.modules.update(greenlet=None, pytest=None); import oqkit.testing; print('fine')"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ended.stdout == "fine\n"
