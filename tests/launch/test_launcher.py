"""The seam to places where workers run: a second place takes a class or two, and the supervisor treats all alike."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import replace

import pandas as pd
import pytest

from oqkit.cli.main import main
from oqkit.launch import local
from oqkit.launch.command import WorkerCommand, worker_command
from oqkit.launch.launcher import EXIT_OUTDATED
from oqkit.launch.local import LocalLauncher, LocalProcess
from oqkit.launch.supervisor import Supervisor
from oqkit.limits import LaunchLimits
from tests.local import WAIT_S, until

FRAME = pd.DataFrame({"x": range(40)})
COMMAND = WorkerCommand(arguments=("worker",), environment={})


# --- a second place ------------------------------------------------------------------------------


def work(command):
    os.environ.update(command.environment)
    sys.exit(main(command.arguments))


class Spawned(multiprocessing.get_context("spawn").Process):
    """A worker in a process of `multiprocessing`."""

    def exit_code(self):
        return self.exitcode

    def stop(self):
        self.terminate()

    def wait(self, timeout_s):
        self.join(timeout_s)
        return self.exitcode is not None


class SpawningLauncher:
    name, log = "Spawned workers", "nowhere"

    def start(self, command, n):
        workers = [Spawned(target=work, args=(command,), daemon=True) for _ in range(n)]
        for worker in workers:
            worker.start()
        return workers

    def last_words(self):
        return ""

    def close(self):
        """Hold nothing."""


def where(x):
    return os.getpid()


@pytest.mark.slow
def test_another_place_runs_workers_and_replaces_the_dead_and_stops_them(folder_queue):
    limits = LaunchLimits(restart_every_s=0.05)
    place = Supervisor(SpawningLauncher(), worker_command(folder_queue, lease_s=2), n=2, limits=limits)
    try:
        assert len(place) == 2
        seen = folder_queue.submit_frame(FRAME, where, part_rows=1).result(WAIT_S)["where"]
        first = place.running()
        assert set(seen) <= {worker.pid for worker in first}
        for worker in first:
            os.kill(worker.pid, signal.SIGKILL)
        until(lambda: len(place.running()) == 2 and not set(first) & set(place.running()))
        offset = 5
        assert folder_queue.submit_frame(FRAME, lambda x: x + offset).result(WAIT_S)["lambda_"].tolist() == list(
            range(5, 45)
        )
    finally:
        place.stop(grace_s=WAIT_S)
    assert place.running() == []


# --- what the supervisor does --------------------------------------------------------------------


class FakeWorker:
    def __init__(self, record, *, ends=True):
        self.code = None
        self.ends = ends
        self._record = record

    def exit_code(self):
        return self.code

    def stop(self):
        self._record.append("stop")
        if self.ends:
            self.code = 0

    def wait(self, timeout_s):
        self._record.append("wait")
        return self.code is not None

    def kill(self):
        self._record.append("kill")
        self.code = -9


class FakeLauncher:
    """Workers that end at once with the code of `fate`, if that is one."""

    name, log = "Fake workers", "/fake.log"

    def __init__(self, fate=None, *, words="no luck", n_lasting=0):
        self.fate, self.words, self._n_lasting = fate, words, n_lasting
        self.record, self.starts, self.workers = [], [], []
        self.enough = threading.Event()

    def start(self, command, n):
        assert command is COMMAND
        self.starts.append(n)
        new = [FakeWorker(self.record) for _ in range(n)]
        for worker in new[self._n_lasting :]:
            worker.code = self.fate
        self._n_lasting = 0
        self.workers += new
        if len(self.starts) > 20:
            self.enough.set()
        return new

    def last_words(self):
        return self.words

    def close(self):
        self.record.append("close")


QUICK = LaunchLimits(restart_every_s=0.001, restart_slowly_s=0.002)


def test_all_are_asked_to_stop_before_any_is_waited_for_and_who_does_not_is_killed():
    launcher = FakeLauncher()
    place = Supervisor(launcher, COMMAND, n=3, limits=QUICK)
    launcher.workers[1].ends = False
    place.stop(grace_s=0.0)
    assert launcher.record == ["stop"] * 3 + ["wait", "wait", "kill", "wait", "close"]
    assert place.running() == []
    place.stop(grace_s=0.0)  # twice is fine
    assert launcher.record[-1] == "close"
    assert launcher.record.count("close") == 1


def test_who_died_is_replaced_and_the_others_stay():
    launcher = FakeLauncher()
    place = Supervisor(launcher, COMMAND, n=5, limits=QUICK)
    launcher.workers[1].code, launcher.workers[3].code = -9, 0
    until(lambda: len(place.running()) == 5)
    assert sum(launcher.starts) == 7
    assert {launcher.workers[n] for n in (0, 2, 4)} < set(place.running())
    place.stop(grace_s=0.0)


@pytest.mark.parametrize(("words", "shown"), (("no luck", "no luck"), ("", "exit code 1")))
def test_workers_that_cannot_start_are_told_of_once_with_their_last_words(capsys, words, shown):
    launcher = FakeLauncher(fate=1, words=words)
    place = Supervisor(launcher, COMMAND, n=2, limits=QUICK)
    assert launcher.enough.wait(WAIT_S)
    place.stop(grace_s=0.0)
    assert capsys.readouterr().err == (
        f"Fake workers cannot start: {shown} (see /fake.log; they are tried again every 0.002 s)\n"
    )


@pytest.mark.parametrize("fate", (0, -9, EXIT_OUTDATED))
def test_workers_that_were_killed_or_want_to_be_started_anew_are_no_sign_that_something_is_wrong(capsys, fate):
    launcher = FakeLauncher(fate=fate)
    place = Supervisor(launcher, COMMAND, n=2, limits=QUICK)
    assert launcher.enough.wait(WAIT_S)
    place.stop(grace_s=0.0)
    assert capsys.readouterr().err == ""


def test_one_that_lives_for_long_shows_that_workers_can_start(capsys):
    launcher = FakeLauncher(fate=1, n_lasting=1)
    limits = replace(QUICK, quick_s=-1.0)  # who is just born has lived for long
    place = Supervisor(launcher, COMMAND, n=2, limits=limits)
    assert launcher.enough.wait(WAIT_S)
    place.stop(grace_s=0.0)
    assert capsys.readouterr().err == ""


def test_pauses_stay_long_although_nobody_looks_meanwhile_how_long_the_dead_have_lived(capsys):
    launcher = FakeLauncher(fate=1)
    limits = LaunchLimits(restart_every_s=0.001, restart_slowly_s=0.03, quick_s=0.02)
    place = Supervisor(launcher, COMMAND, n=1, limits=limits)
    assert launcher.enough.wait(WAIT_S)
    place.stop(grace_s=0.0)
    assert capsys.readouterr().err.count("cannot start") == 1


def test_place_that_cannot_start_a_worker_now_is_asked_again(capsys):
    launcher = FakeLauncher()
    place = Supervisor(launcher, COMMAND, n=2, limits=QUICK)
    real, launcher.start = launcher.start, lambda command, n: [].__getitem__(0)
    launcher.workers[0].code = -9
    until(lambda: "IndexError" in capsys.readouterr().err)
    launcher.start = real
    until(lambda: len(place.running()) == 2)
    place.stop(grace_s=0.0)


def test_place_that_cannot_start_at_all_is_closed():
    launcher = FakeLauncher()
    launcher.start = lambda command, n: [].__getitem__(0)
    with pytest.raises(IndexError):
        Supervisor(launcher, COMMAND, n=2, limits=QUICK)
    assert launcher.record == ["close"]


def test_who_interrupts_the_stopping_has_the_workers_killed(monkeypatch):
    launcher = FakeLauncher()
    place = Supervisor(launcher, COMMAND, n=2, limits=QUICK)

    def interrupted(timeout_s):
        raise KeyboardInterrupt

    for worker in launcher.workers:
        worker.ends = False
        worker.wait = interrupted
    with pytest.raises(KeyboardInterrupt):
        place.stop()
    assert launcher.record == ["stop", "stop", "kill", "kill", "close"]
    assert place.running() == []


def test_workers_of_this_machine_are_ended_if_one_of_them_cannot_be_started(monkeypatch):
    launcher, started = LocalLauncher(), []

    class Process(LocalProcess):
        def __init__(self, *arguments):
            if started:
                raise BlockingIOError("no more processes")
            super().__init__(*arguments)
            started.append(self)

    monkeypatch.setattr(local, "LocalProcess", Process)
    with pytest.raises(BlockingIOError):
        launcher.start(WorkerCommand(arguments=("worker", "--help"), environment={}), 2)
    launcher.close()
    assert started[0].exit_code() is not None


# --- the command ---------------------------------------------------------------------------------


def test_command_shows_no_variable_since_one_may_be_a_key(folder_queue):
    command = worker_command(folder_queue, ["tasks:score"], lease_s=7.5, executor="process")
    assert command.arguments == (
        *("worker", "--trust-code", "--lease", "7.5", "--executor", "process"),
        "tasks:score",
    )
    assert command.environment["OQ_URL"] == folder_queue.url
    assert "OQ_URL" not in repr(command)
