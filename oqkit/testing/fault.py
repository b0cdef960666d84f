"""What a `FaultProxy` can do to requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

#: What a request to Amazon S3 from the same region takes about, by method.
S3_LATENCY_S = {"GET": 0.03, "HEAD": 0.03, "LIST": 0.03, "PUT": 0.06, "POST": 0.06, "DELETE": 0.06}


class FaultKind(StrEnum):
    """What can go wrong with one request."""

    STATUS = "status"  #: answered with `Fault.status`, and never forwarded
    RESET_BEFORE = "reset_before"  #: connection reset, and never forwarded
    DROP_REPLY = "drop_reply"  #: forwarded and applied, then closed without an answer
    LATE = "late"  #: closed at once, and forwarded `Fault.delay_s` later
    STALL = "stall"  #: forwarded and applied, the answer held for `Fault.delay_s`, then closed
    CUT = "cut"  #: forwarded, half of the answer's body sent, then closed
    LATENCY = "latency"  #: forwarded `Fault.delay_s` later, and answered


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and with which requests: all those that meet every condition."""

    kind: FaultKind
    #: `PUT`, `GET`, `DELETE`, `HEAD`, or `LIST` for the GET that lists; None is any.
    method: str | None = None
    #: A regular expression to be found in the key (for `LIST`, in the prefix).
    key: str = ""
    #: How often; None is for ever.
    times: int | None = None
    probability: float = 1.0
    #: How many matching requests pass first.
    skip: int = 0
    status: int = 503
    delay_s: float = 0.0


def weather(*, stall_s: float = 11.0, late_s: float = 2.0) -> list[Fault]:
    """Return every kind of trouble at once: 15 % of all writes and 12 % of all other requests.

    `stall_s` should be longer than the client's time-out (oqkit's is 10 s): an answer that is held for less is
    only slow.
    """
    rates = [
        (0.02, Fault(FaultKind.STATUS, status=500)),
        (0.02, Fault(FaultKind.STATUS, status=503)),
        (0.01, Fault(FaultKind.STATUS, status=429)),
        (0.03, Fault(FaultKind.RESET_BEFORE)),
        (0.03, Fault(FaultKind.DROP_REPLY)),
        (0.01, Fault(FaultKind.STALL, delay_s=stall_s)),
        (0.02, Fault(FaultKind.STATUS, method="PUT", status=409)),  # S3 gives it to conditional writes only
        (0.01, Fault(FaultKind.LATE, method="PUT", delay_s=late_s)),
    ]
    faults, spared = [], 1.0
    for rate, fault in rates:  # the first that strikes is the only one, so each is asked about what is left by then
        faults.append(replace(fault, probability=rate / spared))
        spared -= rate
    return faults
