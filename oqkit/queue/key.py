"""Every key in a queue, and how to read one back.

====================================  ==========================================================
``queue.json``                        settings: how many shards there are, and were (`oqkit.queue.layout`)
``items/{index}/{n}.parquet``         which items `map(key=)` knows, the newest object first
``sweep.json``                        how far the search for lost jobs has come
``bell``                              the doorbell: overwritten when work arrives; a hint
``jobs/{shard}/{job}.json``           the job object, or its tombstone
``work/{shard}/{stamp}-{job}/``       all else that belongs to the job; sorts newest first:
  ``in-{k}.parquet``                    inputs
  ``parts/{n}.json``                    the state of part n
  ``out/{n}-{lease}.{commit}.parquet``  outputs; count only where part n names them
``open/{shard}/{topic}/ready/{...}``   marker: a job has work that is due
``open/{shard}/{topic}/later/{...}``   marker: a job has work that is not due yet
``open/-paused/{type}.json``            that the queue, or a task type, is paused; sorts before all markers
``open/{shard}/at/{...}``              alarm: a schedule has a slot then (`oqkit.queue.alarm`)
``waiting/{parent}/{job}``            a job is told when another one has ended
``tree/{root}/{job}``                 a job belongs to the pipeline that begins with another one
``kept/{when}-{job}``                 a job may be deleted then, if it has ended
``schedules/{name}.json``             what is to be submitted again and again
``schemas/{type}.json``               what inputs and results of a task type are to be like
``tags/{name}/={value}/{...}``        a job has a tag; sorts newest first
``limits/{kind}/{name}.json``         what workers have taken of a limit that all keep together
``leases/{group}.json``                which worker lists the markers of which shards
``code/{digest}``                     functions shipped by value
``workers/{name}.json``               what a worker last said of itself; for people to look at
====================================  ==========================================================
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from oqkit.clock import base32, from_base32
from oqkit.errors import FormatError, UsageError
from oqkit.queue.bound import MAX_PRIORITY, MAX_TIME_S
from oqkit.store.base import Entry

SETTINGS = "queue.json"
BELL = "bell"
SWEEP = "sweep.json"
UNVERSIONED = (BELL, SWEEP, "limits/", "leases/")
"""What is rewritten all the time and says nothing worth keeping."""
EPHEMERAL = (*UNVERSIONED, "workers/")
"""What a bucket keeps versions of although nobody will ask for them."""
JOBS = "jobs/"
WORK = "work/"
OPEN = "open/"
PAUSES = f"{OPEN}-paused/"
"""Where pause signs are: sorted before the shards, so that the listing that shows the markers shows them first."""
WORKERS = "workers/"
ITEMS = "items/"
WAITING = "waiting/"
LIMITS = "limits/"
LEASES = "leases/"
TREE = "tree/"
KEPT = "kept/"
SCHEMAS = "schemas/"
TAGS = "tags/"
WRITTEN = (*EPHEMERAL, JOBS, WORK, OPEN, ITEMS, WAITING, TREE, KEPT, SCHEMAS, TAGS, "schedules/", "code/", SETTINGS)
"""What the keys of a queue begin with, all together."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")
_PART = re.compile(r"([0-9]{7})\.json")
_MILLIS = 1 << 45  # enough until the year 3084
_ID_LENGTH = 18
_JOB_ID = "(?:[0k][0-9a-z]{17}|[1-9][r-z][0-9a-z]{16})"
_MOST_ITEMS = 10**10 - 1
_SEGMENT_CHARS = 160
"""What fits into the name of a file, and three times into a key."""
_ITEMS_NAME = re.compile(r"([0-9]{10})\.parquet")


def check_type(name: str) -> str:
    """Return `name` if it can be a task type, else raise `UsageError`."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a task type: use 1 to 64 letters, digits, '_', '.' or '-', "
            "not starting with '.' or '-' (pass name= to @oq.task)"
        )
    return name


# --- identity ------------------------------------------------------------------------------------


def timed_job_id(now: float, rng: random.Random, *, layout: int = 0) -> str:
    """Return the id of a job without a key: newer ones of a layout sort first."""
    return f"{layout}{stamp(now)}{base32(rng.getrandbits(40), length=8)}"


def key_scope(scope: str, task_type: str) -> str:
    """Return the scope of a task's key for `keyed_job_id`: its ``type``, the whole ``queue``, or a space of one's own."""
    match scope:
        case "type":
            return f"task {task_type}"
        case "queue":
            return "queue"
        case own:
            return f"own {own}"


def keyed_job_id(scope: str, key: str, generation: int) -> str:
    """Return the id that follows from a key: everybody who submits it gets the same."""
    digest = hashlib.sha256(repr((scope, key, generation)).encode()).digest()
    return "k" + base32(int.from_bytes(digest), length=_ID_LENGTH - 1)


def is_job_id(text: str) -> bool:
    """Whether `text` has the form of a job id."""
    return bool(re.fullmatch(_JOB_ID, text))


def is_keyed(job_id: str) -> bool:
    """Whether the id of a job follows from a key, so that another job may come to have it."""
    return job_id.startswith("k")


def task_id(job_id: str, row: int) -> str:
    """Return the id of a task: its job and its row in it."""
    return f"{job_id}.{row}"


def parse_task_id(text: str) -> tuple[str, int]:
    """Return (job id, row), or raise `UsageError`."""
    job_id, dot, row = text.rpartition(".")
    if not dot or not re.fullmatch(r"[0-9]+", row) or not is_job_id(job_id):
        raise UsageError(f"{text!r} is not a task id: expected <job id>.<row>, such as {'0' * _ID_LENGTH}.0")
    return job_id, int(row)


def stamp(now: float) -> str:
    """Write a time so that later ones sort first."""
    return base32(_MILLIS - 1 - int(now * 1000), length=9)


def time_of_stamp(text: str) -> float:
    """Return the time that `stamp` wrote, to the millisecond; 0 for what it did not write."""
    try:
        return max(0.0, (_MILLIS - 1 - from_base32(text)) / 1000)
    except ValueError:
        return 0.0


def created_hint(job_id: str) -> float:
    """Return when a job without a key was submitted, as its id says; 0 for others."""
    return time_of_stamp(job_id[1:10]) if not is_keyed(job_id) else 0.0


def shard_of(job_id: str, shards: int) -> str:
    """Return the shard of a job: four hexadecimal digits."""
    return f"{int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4]) % shards:04x}"


# --- objects of a job ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKeys:
    """The keys of one job; all but the job object need to know when it was created."""

    job: str
    shard: str
    created: float

    @property
    def folder(self) -> str:
        """Where the job's inputs, parts and outputs are."""
        return f"{WORK}{self.shard}/{stamp(self.created)}-{self.job}/"

    @property
    def parts(self) -> str:
        """The common prefix of the parts."""
        return f"{self.folder}parts/"

    def part(self, index: int) -> str:
        """The state of a part."""
        return f"{self.parts}{index:07d}.json"

    def input(self, number: int, digest: str) -> str:
        """An input file; the digest keeps two submitters with different bytes apart."""
        return f"{self.folder}in-{number:05d}-{digest[:12]}.parquet"

    def output(self, index: int, output_id: str) -> str:
        """The outcomes of one commit."""
        return f"{self.folder}out/{index:07d}-{output_id}.parquet"


def job_key(job_id: str, shards: int) -> str:
    """Return the key of a job object in a layout of so many shards."""
    return f"{JOBS}{shard_of(job_id, shards)}/{job_id}.json"


def job_of_key(key: str) -> str:
    """Return the job id that a job object's key ends in."""
    return key.rpartition("/")[2].removesuffix(".json")


def part_etags(entries: Iterable[Entry], *, n_parts: int) -> dict[int, str]:
    """Return the etag of each part in a listing; whatever else lies there is passed over."""
    names = ((_PART.fullmatch(entry.key.rpartition("/")[2]), entry.etag) for entry in entries)
    found = {int(name[1]): etag for name, etag in names if name is not None}
    return {index: etag for index, etag in found.items() if index < n_parts}


def job_of_folder(folder: str) -> str:
    """Return the job id of a folder below `WORK`."""
    return folder.rstrip("/").rpartition("-")[2]


def created_of_folder(folder: str) -> float:
    """Return when the job of a folder below `WORK` was submitted."""
    return time_of_stamp(folder.rstrip("/").rpartition("/")[2].partition("-")[0])


def code_key(digest: str) -> str:
    """Return the key of a function shipped by value."""
    return f"code/{digest}"


def waiting_prefix(parent: str) -> str:
    """Return the common prefix of the entries of jobs that wait for one."""
    return f"{WAITING}{parent}/"


def waiting_key(parent: str, job: str, *, failed: int | None) -> str:
    """Return the entry by which a job is told that one of its parents has ended.

    `failed` is the place of a parent among those before that did not complete; None if there was none.
    """
    return f"{waiting_prefix(parent)}{job}{'' if failed is None else f'.{failed}'}"


def parse_waiting(key: str) -> tuple[str, int | None]:
    """Read the end of an entry: the job and `failed`, or raise `FormatError`."""
    job, dot, failed = key.rpartition("/")[2].partition(".")
    if not is_job_id(job) or (dot and not re.fullmatch("[0-9]{1,9}", failed)):
        raise FormatError(f"{key!r:.200} is not the name of an entry that this oqkit knows")
    return job, int(failed) if dot else None


def tree_prefix(root: str) -> str:
    """Return the common prefix of the entries of jobs that belong to the pipeline of one."""
    return f"{TREE}{root}/"


def kept_key(job: str, when: float) -> str:
    """Return the entry by which a job is looked at then, whether it has been there for long enough; earlier ones sort first."""
    return f"{KEPT}{round(when * 1000):014d}-{job}"


def parse_kept(key: str) -> tuple[str, float]:
    """Read an entry: the job and when it is looked at, or raise `FormatError`."""
    when, _, job = key.removeprefix(KEPT).partition("-")
    if not is_job_id(job) or not re.fullmatch("[0-9]{14}", when):
        raise FormatError(f"{key!r:.200} is not the name of an entry that this oqkit knows")
    return job, int(when) / 1000


def items_prefix(job_type: str, field: str) -> str:
    """Return the common prefix of the objects that say which items of a task type are known by a field of theirs."""
    digest = hashlib.sha256(repr((job_type, field)).encode()).digest()
    return f"{ITEMS}{base32(int.from_bytes(digest), length=_ID_LENGTH)}/"


def items_key(prefix: str, number: int) -> str:
    """Return the key of the object of that number; a later one sorts first."""
    return f"{prefix}{_MOST_ITEMS - number:010d}.parquet"


def items_number(key: str) -> int:
    """Return the number that `items_key` wrote; 0 for what it did not write."""
    name = _ITEMS_NAME.fullmatch(key.rpartition("/")[2])
    return 0 if name is None else _MOST_ITEMS - int(name[1])


def tag_prefix(name: str, value: str) -> str:
    """Return the common prefix of the entries of jobs that have a tag; a long text is in it by its digest."""
    return f"{TAGS}{_segment(name)}/={_segment(value)}/"


def tag_key(name: str, value: str, *, job: str, created: float) -> str:
    """Return the entry by which a job is found by a tag."""
    return f"{tag_prefix(name, value)}{stamp(created)}-{job}"


def _segment(text: str) -> str:
    """Return a text as a part of a key that every store takes and no other text has."""
    written = quote(text, safe="", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E")
    if len(written) <= _SEGMENT_CHARS:
        return written
    return f"~{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def worker_key(name: str) -> str:
    """Return the key of a worker's record."""
    return f"{WORKERS}{name}.json"


def schema_key(job_type: str) -> str:
    """Return the key of the published schema of a task type."""
    return f"{SCHEMAS}{job_type}.json"


# --- pause signs ---------------------------------------------------------------------------------


def pause_key(job_type: str) -> str:
    """Return the key of the sign that a task type is paused, or the whole queue if that is empty."""
    return f"{PAUSES}type-{job_type}.json" if job_type else f"{PAUSES}queue.json"


def type_of_pause(key: str) -> str:
    """Return the task type of a pause sign; empty for that of the queue."""
    return key.removeprefix(PAUSES).removesuffix(".json").removeprefix("type-") if key != pause_key("") else ""


def is_pause_key(key: str) -> bool:
    """Whether a key is that of a pause sign."""
    return key == pause_key("") or (
        key.startswith(f"{PAUSES}type-") and key.endswith(".json") and bool(_NAME.fullmatch(type_of_pause(key)))
    )


# --- markers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """The sign that a job has work; its name is all it has, so that a listing is enough to choose.

    Names of due work sort by priority, then age; names of later work sort by when it falls due.
    """

    job: str
    gen: int
    priority: int
    due: float
    """Epoch seconds, cut to milliseconds."""
    is_later: bool
    topic: str
    shard: str

    @property
    def key(self) -> str:
        """Where the marker is."""
        millis = round(self.due * 1_000_000) // 1000  # what was read from a name must give that name again
        due, rank = f"{millis:014d}", f"{255 - self.priority:03d}"
        when, order = ("later", f"{due}-{rank}") if self.is_later else ("ready", f"{rank}-{due}")
        return f"{open_prefix(self.shard)}{self.topic}/{when}/{order}-{self.job}.{self.gen}"


def open_prefix(shard: str) -> str:
    """Return the common prefix of a shard's markers."""
    return f"{OPEN}{shard}/"


def topic_of(job_type: str, *, by_value: bool) -> str:
    """Return the topic of a job: of a task type, those that run by name and those whose function is shipped by value."""
    return f"{'code' if by_value else 'type'}-{job_type}"


def type_of(topic: str) -> str:
    """Return the task type of a topic."""
    return topic.partition("-")[2]


def parse_marker(key: str) -> Marker:
    """Read a marker's name, or raise `FormatError`."""
    name = _READY.fullmatch(key) or _LATER.fullmatch(key)
    marker = None if name is None else _marker(name)
    if marker is None or marker.key != key:
        raise FormatError(f"{key!r:.200} is not a marker that this oqkit knows")
    return marker


_TOPIC = r"open/(?P<shard>[0-9a-f]{4})/(?P<topic>code|(?:code|type)-[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63})"
_JOB = rf"(?P<job>{_JOB_ID})\.(?P<gen>[1-9][0-9]{{0,15}})"
_READY = re.compile(rf"{_TOPIC}/ready/(?P<rank>[0-9]{{3}})-(?P<due>[0-9]{{14}})-{_JOB}")
_LATER = re.compile(rf"{_TOPIC}/later/(?P<due>[0-9]{{14}})-(?P<rank>[0-9]{{3}})-{_JOB}")


def _marker(name: re.Match[str]) -> Marker | None:
    rank, due = int(name["rank"]), int(name["due"]) / 1000
    if rank > MAX_PRIORITY or due > MAX_TIME_S:
        return None
    return Marker(
        job=name["job"],
        gen=int(name["gen"]),
        priority=MAX_PRIORITY - rank,
        due=due,
        is_later=name.re is _LATER,
        topic=name["topic"],
        shard=name["shard"],
    )
