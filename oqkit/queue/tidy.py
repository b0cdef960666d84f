"""What ordinary workers remove of what nobody counts on: inputs that never became a job, and outputs that lost a race.

About once a day the search for lost jobs (`oqkit.queue.sweep`) begins to go through the folders of jobs that were submitted since the last time
and are a day old by now: a listing of a thousand objects a step, and of a few of the folders that hold inputs or outputs what
`oqkit.queue.garbage` does of each. Where nothing was submitted, nothing is asked for. What gets there later, such as outputs
of a job that runs for days, is left to ``oq gc``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from oqkit.queue import key as keys
from oqkit.queue.bound import Moment, Name, Unknown
from oqkit.queue.garbage import Collector
from oqkit.queue.repository import Repository
from oqkit.store.base import Page


@dataclass(frozen=True, slots=True, kw_only=True)
class TidyProgress:
    """How far that has come; times in epoch seconds by the store's clock."""

    since: Moment = 0.0
    """Jobs that were submitted before were looked at, or are left to others; 0 at first."""
    until: Moment = 0.0
    """Those before that are looked at now; 0 between two passes."""
    after: Name = ""
    """The key behind which the pass goes on."""
    news: Moment = 0.0
    """When a job was last seen that was new."""
    unknown: Unknown = ()

    def is_sane(self, latest: float) -> bool:
        """Whether it can be, given the time now: it may have been written by anybody."""
        is_past = max(self.since, self.until, self.news) <= latest
        return is_past and (not self.after or self.after.startswith(keys.WORK))


class Tidier:
    """One worker's part in it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._collector = Collector(repository)

    def step(self, progress: TidyProgress) -> TidyProgress:
        """Do a bounded part of what is due, and return how far it has come."""
        now, day_s = self._repository.now(), self._repository.limits.queue.orphan_s
        if not progress.since:
            return replace(progress, since=now)
        if not progress.until:
            until = now - day_s
            if until - progress.since < day_s:
                return progress
            if progress.news < progress.since:
                return replace(progress, since=until)
            progress = replace(progress, until=until, after=self._start("0000", until))
        return self._go_on(progress)

    def _go_on(self, progress: TidyProgress) -> TidyProgress:
        shard = progress.after.split("/")[1]
        page = self._repository.store.list(f"{keys.WORK}{shard}/", after=progress.after)
        folders = dict.fromkeys(_folder(entry.key) for entry in page.entries)
        old = [one for one in folders if keys.created_of_folder(one) >= progress.since]
        with_payload = {_folder(one.key) for one in page.entries if "/parts/" not in one.key}
        wanted = [one for one in old if one in with_payload]
        chosen = wanted[: self._repository.limits.queue.tidy_folders]
        for folder in chosen:
            self._collector.collect_folder(folder)
        if len(chosen) < len(wanted):
            return replace(progress, after=f"{chosen[-1]}~")  # behind all that is in it
        return self._next(progress, page, shard, is_over=len(old) < len(folders))

    def _next(self, progress: TidyProgress, page: Page, shard: str, *, is_over: bool) -> TidyProgress:
        if page.next is not None and not is_over:
            return replace(progress, after=page.next)
        number = int(shard, 16) + 1
        if number < self._repository.settings.most:
            return replace(progress, after=self._start(f"{number:04x}", progress.until))
        return replace(progress, since=progress.until, until=0.0, after="")

    def _start(self, shard: str, until: float) -> str:
        return f"{keys.WORK}{shard}/{keys.stamp(until)}"


def _folder(key: str) -> str:
    return "/".join(key.split("/")[:3]) + "/"
