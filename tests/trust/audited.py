"""A process that writes down what it imports, opens, calls and starts, and then is `oq` or a client that collects jobs.

    python -P audited.py LOG worker …
    python -P audited.py LOG collect SOUND-JOB … -- HOSTILE-JOB …

An audit hook cannot be taken off and is asked before the thing happens, so what is not in the log did not happen.
"""

from __future__ import annotations

import json
import os
import sys

WATCHED = {
    "import", "open", "socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system",
    "os.exec", "os.fork", "os.posix_spawn", "pickle.find_class", "ctypes.dlopen", "os.remove", "os.rename",
    "os.symlink", "os.listdir", "os.scandir", "shutil.rmtree", "urllib.Request", "sqlite3.connect", "mark",
}  # fmt: skip


def watch(path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def hook(event, arguments):
        if event in WATCHED:
            first = arguments[1] if event in {"socket.connect", "socket.sendto"} else arguments[0]
            if event == "open" and isinstance(first, int):
                return
            os.write(
                log, (json.dumps([event, repr(first) if isinstance(first, tuple) else str(first)]) + "\n").encode()
            )

    sys.addaudithook(hook)


def collect(jobs: list[str]) -> None:
    """Do with each job whatever a person would do who looks at it, and print what was said."""
    import oqkit as oq

    queue = oq.connect()
    for job_id in jobs:
        if job_id == "--":
            sys.audit("mark", "hostile")
            continue
        print(f"== {job_id}", flush=True)
        job = None
        for look in (
            lambda job: job.counts(),
            lambda job: job.errors(),
            lambda job: job.tasks(),
            lambda job: job.result(timeout=0.01, errors="coerce", join=True),
            lambda job: job.partial(errors="coerce", join=True),
            repr,
        ):
            try:
                job = job or queue.job(job_id)
                look(job)
            except Exception as error:
                print(f"{type(error).__name__}: {error}", flush=True)
    print(len(queue.jobs(limit=500)), flush=True)


if __name__ == "__main__":
    watch(sys.argv[1])
    if sys.argv[2] == "collect":
        collect(sys.argv[3:])
    else:
        from oqkit.cli.main import main

        sys.exit(main(sys.argv[2:]))
