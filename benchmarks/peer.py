"""Environments of their own for what oqkit is measured against, made from PyPI the first time they are asked for.

    python_of("buquet")        # the Python that has buquet in its pinned version, and nothing of oqkit
    versions_of("buquet")      # {"buquet": "0.1.0", "python": "3.11.7"}

Run as a script, it makes all of them and prints what is in each.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1] / "build" / "peers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What is installed, and which releases of Python it runs on: from the first, to below the second."""

    packages: tuple[str, ...]
    python: tuple[tuple[int, int], tuple[int, int]]


#: Every version that is compared against. pandas, pyarrow and cloudpickle are those of requirements.lock.
PEERS = {
    "buquet": Peer(packages=("buquet==0.1.0",), python=((3, 11), (3, 14))),
    "pailq": Peer(packages=("pailq==0.1.1",), python=((3, 12), (3, 15))),
    "jqueue": Peer(packages=("jqueue[s3]==1.0.0",), python=((3, 12), (3, 15))),
    "dask": Peer(
        packages=(
            "dask[dataframe]==2026.8.0",
            "distributed==2026.8.0",
            "pandas==3.1.1",
            "pyarrow==26.0.1",
            "cloudpickle==3.1.2",
        ),
        python=((3, 11), (3, 15)),
    ),
    "joblib": Peer(packages=("joblib==1.6.0", "pandas==3.1.1", "pyarrow==26.0.1"), python=((3, 11), (3, 15))),
}


def python_of(name: str) -> Path:
    """Return the Python of this peer's environment, made first if it is missing, broken or out of date."""
    peer = PEERS[name]
    folder = ROOT / name
    python = folder / "bin" / "python"
    stamp = folder / "made-for.txt"
    wanted = "\n".join(peer.packages)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and _version(python) is not None:
        return python
    print(f"Making an environment with {', '.join(peer.packages)}: a minute, once.", file=sys.stderr)
    subprocess.run([_interpreter(name), "-m", "venv", "--clear", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--quiet", *peer.packages], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def versions_of(name: str) -> dict[str, str]:
    """Return what is installed in this peer's environment, with its Python."""
    python = python_of(name)
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True).stdout
    found = {entry["name"]: entry["version"] for entry in json.loads(listed)}
    found.pop("pip", None)
    found.pop("setuptools", None)
    return {**found, "python": ".".join(map(str, _version(python) or ()))}


def _interpreter(name: str) -> Path:
    """Find a Python that this peer runs on: this one, or the oldest other that fits."""
    first, below = PEERS[name].python
    for candidate in _candidates():
        version = _version(candidate)
        if version is not None and first <= version[:2] < below:
            return candidate
    raise SystemExit(
        f"{name} needs a Python from {first[0]}.{first[1]} to below {below[0]}.{below[1]}, and there is none here. "
        f"Install one, and see that it is on the PATH as python{first[0]}.{first[1]} or similar."
    )


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    minors = range(11, 16)
    yield from (Path(found) for minor in minors if (found := shutil.which(f"python3.{minor}")))
    if shutil.which("pyenv"):  # its commands are there for every version, and work for the chosen one
        root = subprocess.run(["pyenv", "root"], check=True, capture_output=True, text=True).stdout.strip()
        for minor in minors:
            yield from sorted(Path(root, "versions").glob(f"3.{minor}.*/bin/python3"))


def _version(python: Path) -> tuple[int, ...] | None:
    """Ask a Python for its version; None if it does not run, or cannot make environments."""
    code = "import ensurepip, sys, venv; print(*sys.version_info[:3])"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    try:
        asked = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return None
    return tuple(map(int, asked.stdout.split()))


if __name__ == "__main__":
    for peer_name in PEERS:
        print(peer_name, versions_of(peer_name))
