"""The child process of `oqkit.worker.process`: runs work as a thread would, and sends what finished to its parent.

The numbers of the buffer (what was started) are in memory shared with the parent, which therefore
knows, however this process dies, which row was running. Only this process writes there, and while it
lives the parent takes nothing from there for certain: what it must know it asks for, through the one
socket by which all else goes. The child never outlives its parent: a pipe that nobody writes to ends
when the parent does.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import FrameType, FunctionType
from typing import Any, assert_never

from oqkit.errors import SchemaError, UnknownTask
from oqkit.queue.rows import NONE, Rows
from oqkit.task.code import import_task, loads
from oqkit.task.failure import text_of, type_name
from oqkit.task.function import TaskFunction
from oqkit.task.handler import Handler
from oqkit.task.request import Request
from oqkit.worker.buffer import N_CELLS, Meter, ResultBuffer
from oqkit.worker.call import Work, fail, run
from oqkit.worker.wire import ASIDE, Answer, Aside, Disown, Kind, Order, Stop

METER_BYTES = 8 * N_CELLS
_PLAIN_MODULES = {"builtins", "collections", "datetime", "decimal", "numpy", "oqkit", "pandas", "uuid"}


def main(socket: int, memory: int, life: int) -> None:
    """Serve the parent that holds the other ends of these file descriptors until it hangs up."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides; programs started here get the default back
        signal.signal(number, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    for fd in (socket, memory, life):
        os.set_inheritable(fd, False)  # noqa: FBT003 - takes no keyword
    _die_with_parent(life)
    child = Child(Connection(socket), shared_meter(memory))
    while child.serve():
        pass


def shared_meter(fd: int) -> Meter:
    """Map the numbers of a buffer from a file; aligned 8-byte cells, which are written as a whole."""
    return memoryview(mmap.mmap(fd, METER_BYTES)).cast("q")


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass


def _die_with_parent(life: int) -> None:
    if sys.platform == "linux":
        # Linux: the kernel itself kills, also while C code holds the interpreter lock and no thread can watch.
        import fcntl  # Unix only

        fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)

    def watch() -> None:
        os.read(life, 1)
        os._exit(1)

    threading.Thread(target=watch, name="oqkit-life", daemon=True).start()


class Child:
    """Takes one order after the other, and, meanwhile, requests to stop."""

    def __init__(self, connection: Connection, meter: Meter) -> None:
        self._connection = connection
        self._meter = meter
        self._handlers: dict[int, Handler] = {}
        self._orders: SimpleQueue[bytes | None] = SimpleQueue()
        self._running: tuple[int, ResultBuffer] | None = None
        self._early: list[Stop | Disown] = []
        """What came before the order that it is about had begun, or when that was over."""
        self._numbers = count()
        self._questions: dict[int, SimpleQueue[bytes]] = {}
        self._sending = threading.Lock()
        self._stopping = threading.Lock()
        threading.Thread(target=self._listen, name="oqkit-orders", daemon=True).start()

    def _listen(self) -> None:
        """Receive everything; what is said aside is carried out at once, whatever the function does."""
        while True:
            try:
                data = self._connection.recv_bytes()
            except (EOFError, OSError):
                self._orders.put(None)
                return
            if data[:1] == ASIDE:
                aside: Aside = pickle.loads(data[1:])  # noqa: S301 - from the process that started this one
                self._heed(aside)
            else:
                self._orders.put(data)

    def _heed(self, aside: Aside) -> None:
        if isinstance(aside, Answer):
            self._questions[aside.number].put(aside.data)
            return
        with self._stopping:
            if self._running is None or self._running[0] != aside.serial:
                self._early.append(aside)
            else:
                self._steer(self._running[1], aside)

    def _steer(self, buffer: ResultBuffer, aside: Stop | Disown) -> None:
        """Note whose outcome will not be used; or lower the limit and answer with what was started before.

        The interpreter lock orders this against the loop that runs rows, which notes a row before it
        looks at the limit: either it sees the new limit, or the row is in the answer.
        """
        match aside:
            case Disown():
                buffer.unwanted |= aside.rows
            case Stop():
                buffer.limit = min(buffer.limit, aside.at)
                self._send(Kind.STOPPED, buffer.taken)
            case _:
                assert_never(aside)

    def _ask(self, lease: str, rows: Rows, request: Request) -> Any:
        """Ask the parent, in the thread of the call, and return the answer or raise the error that it is."""
        number, answers = next(self._numbers), SimpleQueue[bytes]()
        self._questions[number] = answers
        try:
            self._send(Kind.ASK, (number, lease, rows, request))
            value, error = pickle.loads(answers.get())  # noqa: S301 - from the process that started this one
        finally:
            del self._questions[number]
        if error is not None:
            raise error
        return value

    def serve(self) -> bool:
        """Carry out one order, and return whether there was one."""
        data = self._orders.get()
        if data is None:
            return False
        try:
            order: Order = pickle.loads(data)  # noqa: S301 - from the process that started this one
            work = self._work(order)
        except UnknownTask as error:
            self._send(Kind.REFUSED, error)
        except Exception:  # noqa: BLE001 - the parent has a log to put it in, this process has not
            self._send(Kind.BROKEN, traceback.format_exc())
        else:
            self._run(work, serial=order.serial)
        self._send(Kind.END, None)
        return True

    def _work(self, order: Order) -> Work:
        handler = self._handlers.get(order.task)
        if handler is None:
            handler = self._handlers[order.task] = load_handler(order)
        ask = partial(self._ask, order.options["lease"])
        return Work(handler=handler, inputs=order.inputs, table=pickle_result, ask=ask, **order.options)

    def _run(self, work: Work, *, serial: int) -> None:
        buffer, is_done = ResultBuffer(limit=0), threading.Event()
        buffer.meter = self._meter
        with self._stopping:
            self._running = serial, buffer
            for aside in self._early:
                if aside.serial == serial:
                    self._steer(buffer, aside)
            self._early.clear()

        def pump() -> None:
            while not is_done.wait(work.limits.child_send_s):
                self._ship(work, buffer)

        pumping = threading.Thread(target=pump, name="oqkit-pump", daemon=True)
        pumping.start()
        broken = ""
        try:
            run(work, buffer)
        except Exception:  # noqa: BLE001 - see serve()
            broken = traceback.format_exc()
        is_done.set()
        pumping.join()
        with self._stopping:
            self._running = None
        self._ship(work, buffer)
        if broken:
            self._send(Kind.BROKEN, broken)

    def _ship(self, work: Work, buffer: ResultBuffer) -> None:
        if notes := buffer.drain_notes():
            self._send(Kind.NOTES, notes)
        results = buffer.drain()
        if not results:
            return
        data = pickle_plain((Kind.RESULTS, results))
        if data is not None:
            self._write(data)
            return
        rest = ResultBuffer(limit=0)
        for chunk in pickle_values(work, rest, results.rows, results.values):
            self._send(Kind.VALUES, chunk)
        rest.lay(replace(results, rows=NONE, values=()))
        self._send(Kind.RESULTS, rest.drain())

    def _send(self, kind: Kind, content: object) -> None:
        self._write(pickle.dumps((kind, content)))

    def _write(self, data: bytes) -> None:
        try:
            with self._sending:
                self._connection.send_bytes(data)
        except OSError:  # the parent is gone
            os._exit(1)


def load_handler(order: Order) -> Handler:
    """Return the handler of the task that an order names or contains, or raise `UnknownTask`."""
    try:
        task = import_task(order.code) if isinstance(order.code, str) else loads(order.code)
    except UnknownTask:
        raise
    except Exception as error:  # this imports the user's modules and runs their code
        text = f"the function cannot be loaded in a child process: {type(error).__name__}: {error}"
        raise UnknownTask(text) from error
    return Handler(TaskFunction(task.function, name=order.name, batch=order.is_batch, options=task.options))


def _cloudpickle() -> Any:
    import cloudpickle  # 0.1 s at import, needed only for classes by value

    return cloudpickle


# --- pickles -------------------------------------------------------------------------------------


class _NotPlain(Exception):
    pass


class _PlainPickler(pickle.Pickler):
    """Writes what can be read anywhere; Python is called only for objects that are of no built-in type."""

    def reducer_override(self, obj: object) -> Any:
        owner = obj if isinstance(obj, (type, FunctionType)) else type(obj)
        if owner.__module__.partition(".")[0] in _PLAIN_MODULES:
            return NotImplemented
        raise _NotPlain


def pickle_plain(value: object) -> bytes | None:
    """Pickle `value` if everything in it is of a well-known type, so that it is sure to load in the parent."""
    buffer = io.BytesIO()
    try:
        _PlainPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    except BaseException:  # noqa: BLE001 - of whatever kind: then each value is looked at by itself
        return None
    return buffer.getvalue()


def pickle_values(
    work: Work, buffer: ResultBuffer, rows: Rows, values: Sequence[object]
) -> Iterator[tuple[Rows, bytes]]:
    """Pickle `values` in as few pieces as can be; rows whose value cannot be pickled, or read again, fail."""
    if not rows:
        return
    try:
        data = _pickle(values)
        pickle.loads(data)  # noqa: S301 - its own
    except BaseException as error:  # noqa: BLE001 - pickling runs the user's __reduce__
        if len(rows) == 1:
            fail(work, buffer, rows, _unpicklable(values[0], error))
            return
        half = len(rows) // 2
        yield from pickle_values(work, buffer, rows[:half], values[:half])
        yield from pickle_values(work, buffer, rows[half:], values[half:])
    else:
        yield rows, data


def pickle_result(result: object, _n_rows: int = 1) -> bytes:
    """Pickle what a function returned, by value if need be, or raise `SchemaError`.

    At once, where it stands in for `Codec.table`: the function may use its arrays again.
    """
    try:
        return _pickle(result)
    except BaseException as error:  # noqa: BLE001 - pickling runs the user's __reduce__
        raise _unpicklable(result, error) from None


def _pickle(value: object) -> bytes:
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except BaseException:  # noqa: BLE001 - as above; classes that came here by value can only go back in that way
        return bytes(_cloudpickle().dumps(value))


def _unpicklable(value: object, error: BaseException) -> SchemaError:
    return SchemaError(
        f"a value of type {_value_type(value)} cannot leave the child process that made it "
        f"({type_name(type(error))}: {text_of(error)}); return plain values, or use executor='thread'"
    )


def _value_type(value: object) -> str:
    """Name the type of a value with its module."""
    name, module = type_name(type(value)), type(value).__module__
    return name if "." in name else f"{module}.{name}"
