"""Check what `pip install .` gives a user: a fast answer, an s3fs of today, a package that imports.

Without care pip needs ten minutes over boto3 beside s3fs, and then takes an s3fs of 2020. So both a
new pip and an old one must resolve in a minute, each in a fresh environment with a cache of its own.
Run by `make install-check`; needs a package index and nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIPS = ("pip", "pip==23.2.1")  # the newest, and the one that Python 3.11 and 3.12 began with
LIMIT_S = 60.0
GIVE_UP_S = 240.0  # a pip that wanders does so for many minutes
TRIES = 2  # a slow network is not a slow resolution
OLDEST_S3FS = 2026


class CheckError(Exception):
    """The package does not install as promised."""


def main() -> None:
    """Check every pip in turn; exit 1 at the first broken promise."""
    try:
        for pip in PIPS:
            with tempfile.TemporaryDirectory(prefix="oqkit-install-") as folder:
                check(pip, Path(folder))
    except CheckError as error:
        sys.exit(f"install-check FAILED: {error}")
    print(f"{len(PIPS)} passed, 0 failed", flush=True)


def check(pip: str, folder: Path) -> None:
    """Resolve with one pip; with the newest also install and import."""
    python = fresh_python(folder / "venv")
    run(python, "-m", "pip", "install", "--quiet", "--quiet", "--upgrade", pip, cache=folder / "cache-pip")
    name = " ".join(run(python, "-m", "pip", "--version", cache=folder / "cache-pip").split()[:2])

    seconds, releases = resolve(python, folder)
    print(f"{name}: resolved {len(releases)} packages in {seconds:.1f} s", flush=True)
    print("   " + ", ".join(f"{each} {releases.get(each)}" for each in ("s3fs", "aiobotocore", "boto3", "pandas")))
    if seconds > LIMIT_S:
        raise CheckError(f"{name} needed {seconds:.0f} s to resolve, more than {LIMIT_S:.0f} s")
    if int(releases["s3fs"].split(".")[0]) < OLDEST_S3FS:
        raise CheckError(f"{name} chose s3fs {releases['s3fs']}, older than {OLDEST_S3FS}")

    if pip == PIPS[0]:
        install(python, folder)
        print(f"{name}: installed; oqkit imports, with all its modules", flush=True)


def fresh_python(folder: Path) -> Path:
    """Make a virtual environment and return its interpreter."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def resolve(python: Path, folder: Path) -> tuple[float, dict[str, str]]:
    """Ask pip what it would install; return the seconds of the fastest try and the releases by name."""
    report = folder / "report.json"
    fastest = GIVE_UP_S
    for attempt in range(TRIES):
        started = time.monotonic()
        arguments = ("-m", "pip", "install", "--quiet", "--dry-run", "--report", str(report), str(ROOT))
        run(python, *arguments, cache=folder / f"cache-{attempt}")
        fastest = min(fastest, time.monotonic() - started)
        if fastest <= LIMIT_S:
            break
    packages = [each["metadata"] for each in json.loads(report.read_text())["install"]]
    return fastest, {each["name"].lower(): each["version"] for each in packages}


def install(python: Path, folder: Path) -> None:
    """Install for real and look at the result from outside the checkout."""
    run(python, "-m", "pip", "install", "--quiet", "--quiet", str(ROOT), cache=folder / "cache-0")
    run(python, "-m", "pip", "check", cache=folder / "cache-0")
    run(python, "-c", "import oqkit.cli.main", cache=folder / "cache-0")
    run(python.parent / "oq", "--help", cache=folder / "cache-0")
    where = run(python, "-c", "import oqkit; print(oqkit.__path__[0])", cache=folder / "cache-0").strip()
    missing = modules(ROOT / "oqkit") - modules(Path(where))
    if missing:
        raise CheckError(f"the wheel lacks {', '.join(sorted(missing))}")


def modules(package: Path) -> set[str]:
    """Name every file that belongs to a package, relative to it."""
    files = [*package.rglob("*.py"), *package.rglob("py.typed")]
    return {file.relative_to(package).as_posix() for file in files}


def run(*command: str | Path, cache: Path) -> str:
    """Run a command away from the checkout and return what it printed."""
    environment = {**os.environ, "PIP_CACHE_DIR": str(cache), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            cwd=tempfile.gettempdir(),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GIVE_UP_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckError(f"`{' '.join(words)}` gave no answer in {GIVE_UP_S:.0f} s") from error
    if done.returncode:
        raise CheckError(f"`{' '.join(words)}` ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
