"""Every number that tunes oqkit, in one frozen value that whoever has a queue carries: `Repository.limits`.

In it is what tunes waiting, polling, trying again, the sizes of parts and leases, and budgets of memory and requests. One
process can have other values than the rest: that makes nothing wrong, only slower or dearer.

Not in it are the bounds of what is stored, on which all versions must agree (`oqkit.queue.bound`, the rings of a part,
names of keys), what a function's identity is made of, defaults of arguments that a user may give, what only a display
needs, and facts of other libraries, of formats and of mathematics.

Names end in what is counted. ``_s`` is seconds, ``_polls`` and ``_rings`` are multiples of the store's `poll_s` and
`ring_s`, a ``_share`` is a part of 1, and something is multiplied or divided by a ``_factor``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How the objects of a queue are written, and what is done for jobs that lost their marker."""

    patience_s: float = 60.0
    """How long a write is tried before it is `Unavailable`: longer than a store is busy, shorter than an outage."""
    retry_first_s: float = 0.02
    retry_longest_s: float = 2.0
    """A write is repeated at once, then after at most twice the first of these, then after twice as long each time, up to
    the second; less than that by chance, so that rivals do not meet again."""
    max_leases: int = 8
    """Leases of a part at once: of more, each commit meets another too often."""
    suspect_first_factor: int = 2
    suspect_factor: int = 16
    suspect_shrinks: int = 8
    """By what a claim is smaller once a lease on its rows ran out, by what again after each further one, and after how many
    it shrinks no more: any part is down to a row by then."""
    suspect_lease_s: float = 60.0
    suspect_doublings: int = 10
    """Up to what leases on such rows grow, and how often they are doubled: a worker that lives extends one of a minute."""
    marker_late_s: float = 0.5
    """How much later than the bell a marker may be there: the slowest usual write."""
    layout_fresh_s: float = 600.0
    """How often whoever submits asks whether the queue was given another number of shards."""
    signature_s: float = 365 * 86_400.0
    """How long a signature is good for: a year."""
    bell_bytes: int = 16_384
    """A larger job is not in the bell, which every idle worker reads."""
    bell_fresh_s: float = 10.0
    """What the bell says is believed for so long; somebody may have cancelled since."""
    bell_trail_jobs: int = 200
    """Behind how many of its last submissions a client says that a listing of the newest jobs is to begin."""
    list_pages: int = 3
    list_reads_factor: int = 3
    """How many pages are listed to find the newest jobs of a shard, and how many objects are read for each that is asked for."""
    list_stale_reads: int = 60
    """How many objects may be read in all, however few jobs are asked for, where the index of tags has entries that hold no more."""
    stalled_s: float = 10.0
    stalled_longest_s: float = 3600.0
    stalled_factor: int = 4
    """How long nothing may happen to a job before its marker is put up again; then ever more rarely, up to an hour."""
    refused_s: float = 60.0
    """How long whoever waits leaves a job to itself once the store refused what it needs: most likely for good."""
    read_parts: int = 16
    """How many parts are read at once to see whether a job is done, and at most when one is attached to."""
    sweep_every_s: float = 480.0
    sweep_first_s: float = 30.0
    """How often a queue is searched for lost jobs, which is inside the budget of an idle worker; and how soon after the start
    of a worker, at least."""
    sweep_early_share: float = 0.75
    """What part of that must be over since anybody's last step: workers do not keep the same time."""
    sweep_fresh_s: float = 60.0
    """Younger jobs are left alone: their marker may be on its way."""
    sweep_pages: int = 2
    sweep_jobs: int = 500
    """A step ends with so many pages of the listing, or the page that has so many jobs to look at."""
    sweep_watched_jobs: int = 1000
    sweep_sample_jobs: int = 16
    """How many open jobs are remembered, and how many of them are looked at where the markers are too many to list. A step
    that looks at more is put on record first, so that no other worker makes it as well."""
    deleted_stay_s: float = 600.0
    """How long parts of a deleted job stay after their last change, and its tombstone after it was submitted: longer than
    workers believe what they read (`ClaimLimits.job_fresh_s`), and than a write is on its way."""
    orphan_s: float = 86_400.0
    """How old uploads without a job are, and outputs that no part names, before they are removed: no submission, and no lease,
    takes so long to its end."""
    tidy_folders: int = 20
    """In how many folders of jobs a step of the sweep looks for orphans and outputs that no part names."""
    retire_s: float = 60.0
    """For how long nobody takes of a limit that is being removed as nobody uses it; it is removed in half of that, or stays."""
    kept_jobs: int = 50
    kept_again_s: float = 3600.0
    """How many jobs whose time is over are looked at in one step of the sweep, and how soon again those that stay."""
    deleted_first_look_s: float = 2.0
    """How long ago a job that is found to have ended must have been seen, to look whether it was deleted since."""
    deleted_look_s: float = 600.0
    """How often whoever watches a job of which no part is there does so."""
    schedule_late_s: float = 120.0
    """A slot that no worker finds for so long was missed: what becomes of it is for the schedule to say (`catch_up`)."""
    schedule_slots: int = 25
    """How many slots of a schedule are submitted before that is noted, which is what is tried again if a worker dies."""
    schedule_fresh_s: float = 30.0
    """What was read of a schedule is acted on for so long: somebody may have paused or deleted it since."""
    schedule_sweep_s: float = 3600.0
    """How often a queue is searched for schedules that have lost their alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLimits:
    """How a worker finds rows: how often it asks, and how much a poll may cost, however much there is (guarantee G6)."""

    list_every_s: float = 30.0
    """How often the markers are listed without a ring of the bell, which may be lost."""
    idle_after_s: float = 600.0
    idle_factor: float = 7.0
    idle_list_factor: float = 2.5
    """After so long without work, by what polls and listings are rarer: that is what an idle fleet costs."""
    busy_list_factor: float = 2.0
    """By what listings are rarer while there is work at hand: they are for what is more urgent."""
    cool_s: float = 20.0
    hot_factor: float = 0.2
    """By what polls are quicker right after work, which seldom comes alone; the pace is usual again after `cool_s`."""
    look_first_rings: float = 0.4
    look_last_rings: float = 1.2
    planned_looks: int = 3
    """When to list again after a ring, since others are left out for one `ring_s`, and how many such looks are planned."""
    late_claims: int = 2
    """After how many claims that came too late the markers are listed anew: what others have done is not among them then."""
    page_markers: int = 1000
    look_pages: int = 3
    look_folders: int = 8
    """Of markers, how many a page has (what S3 gives at most), and how many pages and folders are listed in one look."""
    read_signs: int = 16
    look_signs_s: float = 10.0
    """How many pause signs are read in one look; and, where a listing does not show all markers, how often the signs are
    listed by themselves."""
    find_jobs: int = 4
    job_claims: int = 3
    """How many jobs are tried in one poll, and how many parts of each."""
    read_parts: int = 16
    window_parts: int = 1000
    """How many parts of a job are read and listed at a time: what S3 lists at most."""
    recheck_first_polls: float = 2.0
    recheck_longest_polls: float = 16.0
    """How long a job with nothing to claim is left alone, at first and at most."""
    job_fresh_s: float = 300.0
    """How long a worker believes that nobody has begun a part of a job: it may have ended since, and been deleted."""
    later_s: float = 5.0
    """A marker is moved out of the way only if its job has nothing to do for so long: moving costs two requests."""
    start_ahead_s: float = 1.0
    """Rows of a job with a rate limit are claimed only as far as they may start within this time."""
    quota_patience_s: float = 3.0
    quota_retry_s: float = 2.0
    """How long it is tried to take from a limit, and how long the job is left alone if that did not work."""
    place_first_wait_s: float = 0.5
    place_longest_wait_s: float = 8.0
    """How long a job is left alone of which as many calls run as may, at first and at most."""
    place_keep_s: float = 2.0
    """How long a worker keeps a place that no lease of it has."""
    refused_s: float = 10.0
    """How long a job that this worker cannot run is left alone: what is missing may be there by then."""
    together_s: float = 1.0
    alone_s: float = 60.0
    """How long markers of done jobs wait to be deleted in one request, while no other worker was met for `alone_s`."""
    refused_markers: int = 100_000
    """How many markers that may not be deleted are remembered."""
    aside_first_s: float = 10.0
    aside_longest_s: float = 600.0
    """How long what cannot be understood is left alone, at first and at most: somebody may repair it."""
    aside_spacing_s: float = 0.5
    """How far apart tries are on average, however many things are put aside."""
    aside_names: int = 10_000
    """How many are remembered; of more, the ones put aside first are tried again and named again."""
    alarm_names: int = 10_000
    """Of how many schedules a worker remembers when they are due."""
    alarm_first_s: float = 0.5
    alarm_longest_s: float = 3.0
    """How long a worker leaves a slot to the one that fired the last: chosen between the two, so that of many few meet."""
    shard_lease_s: float = 90.0
    shard_renew_share: float = 1 / 3
    """For how long a worker leases shards, and what part of that may pass before it does so again."""
    look_everywhere_s: float = 600.0
    """How often a worker that has leased shards looks at all: a job may be in one whose holder cannot run it."""
    inline_outputs: int = 64
    """How many outputs a part may hold itself: every commit in it writes all of those again."""
    grown_part_bytes: int = 32 * 2**20
    """How large waits for signals may make a part. Nobody reads one of twice as much, and all else has to fit in as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLimits:
    """How long leases are, and how large a function may be."""

    least_s: float = 1.0
    target_s: float = 10.0
    """The shortest and the longest lease that is worth it: shorter ones cost commits, and of longer ones others have nothing."""
    kept_share: float = 0.5
    """What a measurement of a function's pace leaves of the weight of those before: inputs differ from job to job."""
    code_warn_bytes: int = 2**20
    code_bytes: int = 16 * 2**20
    """A function that is shipped by value is warned about above the first, and refused above the second: all workers load it."""
    source_bytes: int = 2**18
    """How much of its source travels with it at most: that of what it calls is left out first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """How a worker runs leases, and how it bears a store that is away."""

    tick_s: float = 0.25
    """How often a lease that runs is looked after."""
    wrong_s: float = 5.0
    """If a lease takes so much longer than was thought, nothing is thought of it any more."""
    blocked_s: float = 0.5
    """How much longer than twice their time-out coroutines get: then one of them blocks the others."""
    stood_still_s: float = 1.0
    """By how much a wait is late if that is not for the machine being busy: it slept, and no call is charged for that."""
    barren_deaths: int = 3
    """After so many deaths before any row was started, it is the function that cannot be loaded."""
    start_again_s: float = 0.001
    start_wait_s: float = 0.2
    """For how long a call that waits for a limit does not look whether it is still wanted, at least and at most."""
    coroutines: int = 64
    """How many coroutines of a lease run at once."""
    first_batch_rows: int = 256
    batch_growth_factor: int = 8
    """How many rows the first batch has while the pace is unknown, and by what the next ones are larger."""
    inputs_first_wait_s: float = 1.0
    inputs_longest_wait_s: float = 60.0
    """How long a job whose inputs cannot be read is left alone, at first and at most."""
    sift_commits: int = 256
    """How many are tried in search of the rows of one that keep it from being stored: what is left by then fails as a whole."""
    commit_patience_s: float = 600.0
    """How long results wait for a store that is away: others run the rows again meanwhile."""
    commit_first_wait_s: float = 1.0
    commit_longest_wait_s: float = 30.0
    """How long a commit rests that the store has refused, at first and at most."""
    child_send_s: float = 0.1
    """How often a child process sends what it has."""
    child_poll_s: float = 0.2
    """How soon the death of a child process is noticed where its pipe stays open."""
    child_end_s: float = 1.0
    child_kill_s: float = 5.0
    """How long a child process may take to end by itself, and once it was killed."""
    report_busy_s: float = 60.0
    report_idle_s: float = 600.0
    """How often it reports of itself while it works or leaves something alone, and else: a PUT costs as much as 12 GETs."""
    report_news_s: float = 2.0
    """How soon one report of what is left alone may follow another."""
    duty_first_wait_s: float = 60.0
    duty_longest_wait_s: float = 600.0
    """How long a duty rests after trouble with the store, at first and at most; no work waits for it."""
    fetch_first_wait_s: float = 1.0
    fetch_longest_wait_s: float = 60.0
    """How long no work is fetched after trouble with the store, at first and at most: an outage costs a request a minute."""
    alarm_first_wait_s: float = 1.0
    alarm_longest_wait_s: float = 15.0
    """How long a schedule is left alone after trouble with the store, at first and at most."""
    look_schedules: int = 32
    """How many schedules are looked at in one go."""
    recheck_first_s: float = 10.0
    recheck_longest_s: float = 600.0
    """How long a function that cannot be run here is not looked at again, at first and at most: somebody may mend it."""
    ahead_s: float = 2.0
    """How long before the end of a lease the next one is fetched: what a claim and its inputs take on a slow store."""
    ahead_commits: int = 2
    """How many commits may be under way while the next lease runs: more would pile up on a store that is too slow."""
    longest_idle_s: float = 1.0
    """The longest sleep of a slot without work: there may be something for it in what the others learn meanwhile."""
    yield_s: float = 0.05
    """How often a slot looks whether it may be alone, or has to make room."""
    coroutine_look_s: float = 0.05
    """How long a further slot rests at least between two looks for coroutines."""
    watch_s: float = 0.05
    watch_slots_s: float = 0.2
    """How long the main thread waits to be told to stop, and for a slot to end, before it looks what else is due."""
    settle_s: float = 10.0
    """How long commits may take once calls have had their grace time."""
    farewell_s: float = 5.0
    """How long the last report may take, and observers to be told the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadLimits:
    """How inputs and outputs are stored and read."""

    inline_value_bytes: int = 262_144
    """Inputs of a job, and the result of a single task, of more bytes of JSON are objects of their own, and not in the job object
    and the part."""
    inline_bytes: int = 8192
    inline_rows: int = 256
    """Results of more bytes, or of more rows, are an object of their own where a part has several tasks: every commit writes it again."""
    file_bytes: int = 64 * 2**20
    """An uploaded file ends with the part that takes it past this: a submitter holds one in memory."""
    kept_jobs: int = 16
    """Of how many jobs it is remembered what their inputs are."""
    cache_bytes: int = 32 * 2**20
    """What a process keeps of the inputs that it has read: as much as a part of the largest size."""
    small_bytes: int = 2**20
    """Files up to this size are read whole, in one request."""
    tail_bytes: int = 2**16
    """What the first request for a footer asks for: most of them are smaller."""
    gap_bytes: int = 2**20
    """Two ranges closer than this are read in one request: cheaper than the request saved."""
    footer_threads: int = 8
    """How many footers of a dataset are read at a time."""
    text_bytes: int = 8 * 2**20
    text_threads: int = 2
    """CSV and JSON lines are read so many bytes at a time, and more for a longer record; and from how many files at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """How jobs are cut into parts, and how somebody who waits asks for them."""

    least_parts: int = 16
    part_rows: int = 10_000
    max_part_rows: int = 50_000
    """A job is cut into so many parts, into more if they had more than `part_rows`; and how many rows any part may have."""
    part_s: float = 0.25
    """Of quick functions a part takes so long at least: sharing less than that costs more than it gains."""
    part_bytes: int = 32 * 2**20
    """A part with its inputs has no more than this, since a worker holds it in memory."""
    check_first_bytes: int = 256 * 2**20
    """Before a frame of more than this in memory is uploaded, somebody asks whether its job is there: 64 MiB as Parquet."""
    chunk_rows: int = 100_000
    """Results that are gone through are read so many rows at a time, in whole parts: nobody holds more of them."""
    first_poll_polls: float = 0.1
    poll_share: float = 0.1
    longest_poll_polls: float = 2.0
    longest_poll_s: float = 0.25
    """A wait first polls after the first of these, then after this share of the time that it has waited, up to the longer of
    the last two: the end of a job is noticed in proportion to how long it took."""
    slice_s: float = 0.2
    """How soon a wait hears of an interrupt."""
    patience_s: float = 5.0
    """How long a job may wait before something seems to be missing."""
    look_every_s: float = 10.0
    look_seldom_s: float = 30.0
    """How often workers are asked why, at first and when nothing has happened for a while."""
    late_s: float = 30.0
    """By how much a report may be late before its worker counts as gone."""
    recent_s: float = 90.0
    """Of a worker that reported within this time nothing is said of when that was."""
    schema_kept_s: float = 60.0
    """How long a connection goes by the published schema that it has read."""
    item_grace_s: float = 10.0
    item_look_s: float = 0.2
    """How long a job that took items may be about to be stored, and how often somebody who wants one of them looks."""
    read_records: int = 256
    """How many reports of workers are read at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchLimits:
    """How workers that ended are replaced."""

    restart_every_s: float = 1.0
    """How often a supervisor looks who has ended."""
    quick_s: float = 10.0
    quick_deaths: int = 3
    restart_slowly_s: float = 30.0
    """If all are younger than `quick_s`, and more than so many for each place ended, something is wrong with all of them:
    then they are replaced more slowly, as each start costs seconds of a processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxLimits:
    """How submissions that a database holds get into the queue."""

    input_bytes: int = 2**20
    """A larger input is refused: its job is one object, which holds it."""
    batch_records: int = 100
    claim_s: float = 60.0
    """How many records a relay takes at a time, and after how long others may take them over: it may be dead."""
    poll_s: float = 1.0
    """How often a relay looks for new ones."""
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    """How long it rests after trouble with the queue or the database, at first and at most."""
    prune_every_s: float = 600.0
    """How often it deletes what was delivered long ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All of them, by the room that they tune."""

    queue: QueueLimits = QueueLimits()
    claim: ClaimLimits = ClaimLimits()
    task: TaskLimits = TaskLimits()
    worker: WorkerLimits = WorkerLimits()
    payload: PayloadLimits = PayloadLimits()
    client: ClientLimits = ClientLimits()
    launch: LaunchLimits = LaunchLimits()
    outbox: OutboxLimits = OutboxLimits()
