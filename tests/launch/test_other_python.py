"""A worker of another Python: what is byte code it leaves alone and says so, what has a name it imports and runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import oqkit as oq
from tests.local import WAIT_S, refusal

ROOT = Path(__file__).parents[2]
FRAME = pd.DataFrame({"x": [1, 2, 3]})
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
NAMED = "OQ_TEST_OTHER_PYTHON"
"""Environment variable: a Python of another version that has what oqkit needs."""
MODULE = "import sys\n\n\ndef version(x):\n    return sys.version_info[1]\n"


def version_of(python, *code):
    """Return the version of a Python if it is another one and runs this code, else None."""
    command = [str(python), "-c", "; ".join([*code, "import sys", "print('%d.%d' % sys.version_info[:2])"])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        run = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=100)
    except OSError:
        return None
    found = run.stdout.strip()
    return found if run.returncode == 0 and found != HERE else None


def bases():
    """Yield the Pythons of other versions that this machine has, oqkit or not."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    for minor in (12, 13, 11):
        for found in (shutil.which(f"python3.{minor}"), *sorted(pyenv.glob(f"3.{minor}.*/bin/python"))):
            if found is not None and version_of(found) == f"3.{minor}":
                yield found, f"3.{minor}"


@pytest.fixture(scope="module")
def other():
    """Return a Python of another version with oqkit, and its version; it is made once and kept in build/."""
    made = [os.environ.get(NAMED), *sorted((ROOT / "build").glob("python-*/bin/python"))]
    for python in filter(None, made):
        if (version := version_of(python, "import oqkit")) is not None:
            return str(python), version
    said = [f"there is no Python but {HERE} on this machine"]
    for base, version in bases():
        folder = ROOT / "build" / f"python-{version}"
        python = folder / "bin" / "python"
        for command in ([base, "-m", "venv", "--clear", folder], [python, "-m", "pip", "install", "-q", "-e", ROOT]):
            run = subprocess.run(command, check=False, capture_output=True, text=True)
            said.append(f"{version}: {run.stderr.strip()[-200:]}")
            if run.returncode:
                break
        if version_of(python, "import oqkit") == version:
            return str(python), version
    pytest.skip(f"no other Python with oqkit can be had ({said[-1]}); {NAMED} can name one")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_worker_of_another_python_leaves_byte_code_alone_and_runs_what_has_a_name(
    quick_news, folder_queue, other, tmp_path, monkeypatch
):
    (tmp_path / "has_a_name.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import has_a_name

    python, version = other
    by_value, by_name = oq.submit_frame(FRAME, lambda x: x), oq.submit_frame(FRAME, has_a_name.version)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    command = [python, "-m", "oqkit", "worker", "--trust-code", "--url", folder_queue.url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as worker:
        try:
            told = refusal(by_value, said="saw it", wait_s=4 * WAIT_S)
            assert f"1 worker saw it and cannot run it: it runs {version}, this needs {HERE}." in told
            assert f"python{HERE} -m oqkit worker --url {folder_queue.url} --trust-code" in told
            assert by_name.result(WAIT_S)["version"].tolist() == [int(version.partition(".")[2])] * 3
            assert worker.poll() is None, "it lives, and leaves the job to others"
        finally:
            worker.terminate()
            worker.communicate()
    assert by_value.status == "pending"
