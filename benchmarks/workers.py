"""One job of 4,000 calls that wait 5 ms each, on 1 to 8 worker processes that are up, on a local directory."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from statistics import median

from stage import save
from talk import Client

N, NAP_S = 4_000, 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    figures = []
    for n_workers in (1, 2, 4, 8):
        with tempfile.TemporaryDirectory(prefix="oqkit-bench-") as folder, contextlib.ExitStack() as stack:
            submitter, *workers = [stack.enter_context(Client("local")) for _ in range(n_workers + 1)]
            for client in (submitter, *workers):
                client.ask("open", folder=folder)
            for client in workers:
                client.ask("start")
            submitter.ask("naps", n=100)
            seconds = [submitter.ask("naps", n=N)["s"] for _ in range(options.rounds)]
            figures.append({"workers": n_workers, "s": median(seconds), "ideal_s": N * NAP_S / n_workers})
            print(figures[-1], flush=True)
    save("workers", {"n": N, "counts": figures})


if __name__ == "__main__":
    main()
