"""Run the fast tests with the other Pythons and releases that oqkit promises to work with.

These are the tests of what a Python or a library can change: values, frames, functions, jobs. The rooms that are left
out are named at the end; ``--all`` runs them as well.

Each environment is made by uv in ``build/versions``; `make test` covers one more, the oldest Python with the releases of
the lock. Run by `make check-versions`, or ``make check-versions ONLY=lowest``; needs a package index, and the Pythons.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "versions"
FAST = ("-m", "not server and not slow")
ROOMS = ("arrow", "client", "format", "fuzz", "job", "payload", "queue", "task", "trust", "worker")
SHOWN = ("numpy", "pandas", "pyarrow", "polars", "boto3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A Python, and what is installed beside oqkit and its tests."""

    name: str
    python: str
    requirements: tuple[str, ...] = ()
    resolution: str = "highest"
    is_demanded: bool = True
    """Whether it is an error if there is no such Python on this machine."""

    def __str__(self) -> str:
        releases = ", ".join(self.requirements) or "the newest releases"
        if self.resolution != "highest":
            releases = "the lowest releases that pyproject.toml allows"
        return f"{self.name}: Python {self.python} with {releases}"


ENVIRONMENTS = (
    Environment(name="newest", python="3.13"),
    Environment(name="pandas2", python="3.12", requirements=("pandas<3",)),
    Environment(name="lowest", python="3.11", resolution="lowest-direct"),
    Environment(name="next", python="3.14", is_demanded=False),
)


class CheckError(Exception):
    """Something that must be there, or must work, does not."""


def main() -> int:
    """Check the chosen environments one after the other; return how many failed."""
    parser = argparse.ArgumentParser(prog="version_check", description=__doc__)
    parser.add_argument("--only", choices=[one.name for one in ENVIRONMENTS], help="just this environment")
    parser.add_argument("--processes", default="2", help="tests at once (2)")
    parser.add_argument("--all", action="store_true", help="the fast tests of every room")
    parser.add_argument("tests", nargs="*", help="other arguments for pytest, in place of the fast tests")
    options = parser.parse_args()
    rooms = [] if options.all else [f"tests/{room}" for room in ROOMS]
    tests = options.tests or [*FAST, *rooms]
    said = []
    n_failed = 0
    for one in ENVIRONMENTS:
        if options.only in {None, one.name}:
            verdict, is_good = check(one, processes=options.processes, tests=tests)
            said.append(f"{one}: {verdict}")
            n_failed += not is_good
    if not options.tests:
        said.append(
            f"not run: what is slow or needs a server{'' if options.all else f'; {left_out()} (--all runs them)'}"
        )
    print("\n" + "\n".join(said))
    return n_failed


def left_out() -> str:
    """Name the rooms whose tests no release of a library is likely to change."""
    found = {path.parent.relative_to(ROOT / "tests").parts for path in (ROOT / "tests").rglob("test_*.py")}
    return ", ".join(sorted({f"tests/{parts[0]}" for parts in found if parts} - {f"tests/{room}" for room in ROOMS}))


def check(one: Environment, *, processes: str, tests: list[str]) -> tuple[str, bool]:
    """Run the tests in an environment; return what to say of it, and whether that is good."""
    python = interpreter(one.python)
    if python is None:
        return f"NOT CHECKED, there is no Python {one.python} on this machine", not one.is_demanded
    print(f"\n{one}", flush=True)
    started = time.monotonic()
    try:
        own = environment(one, python)
        command = [own, "-m", "pytest", "-q", "-n", processes, "--dist", "loadgroup", "-p", "no:cacheprovider", *tests]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    except CheckError as error:
        return f"FAILED, {error}", False
    seconds = time.monotonic() - started
    return f"{'FAILED' if done.returncode else 'passed'} ({versions(own)}; {seconds:.0f} s)", not done.returncode


def environment(one: Environment, python: str) -> Path:
    """Make the environment anew, and return its interpreter."""
    folder = FOLDER / one.name
    uv("venv", "--quiet", "--clear", "--python", python, str(folder))
    own = folder / "bin" / "python"
    editable = ("--editable", f"{ROOT}[docs,test]")
    uv(
        *("pip", "install", "--quiet", "--python", str(own), "--resolution", one.resolution),
        *one.requirements,
        *editable,
    )
    return own


def interpreter(version: str) -> str | None:
    """Return the path of a Python of this version, or None if uv knows none, also among those of pyenv."""
    path = os.pathsep.join([*map(str, pyenv_folders()), os.environ.get("PATH", "")])
    done = subprocess.run(
        [*UV, "python", "find", "--no-project", version],
        env={**os.environ, "UV_PYTHON_DOWNLOADS": os.environ.get("UV_PYTHON_DOWNLOADS", "never"), "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None


def pyenv_folders() -> list[Path]:
    """Return where the Pythons of pyenv are: its shims on the path work only for the one that is switched on."""
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return []
    done = subprocess.run([pyenv, "root"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return sorted(Path(done.stdout.strip()).glob("versions/*/bin"), reverse=True) if done.stdout.strip() else []


def versions(python: Path) -> str:
    """Name the Python and the releases that matter most."""
    code = f"import sys, importlib.metadata as m; print(sys.version.split()[0], *(f'{{n}} {{m.version(n)}}' for n in {SHOWN}), sep=', ')"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


UV = (sys.executable, "-m", "uv")


def uv(*words: str) -> None:
    """Run uv, and raise `CheckError` with what it said if that fails."""
    done = subprocess.run(
        [*UV, *words], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CheckError(f"`uv {' '.join(words)}` said:\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
