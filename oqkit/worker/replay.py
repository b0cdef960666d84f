"""One call of a function again, in the thread that asks for it, so that what it raises is raised there with its own frames."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from oqkit.errors import SchemaError
from oqkit.worker.buffer import Many, ResultBuffer, Results
from oqkit.worker.call import Work, calls, lay_result


def replay(work: Work) -> tuple[Any, Results]:
    """Make the call of a row function for the one row of `work`, or that of a batch function for all its rows.

    Return what the function returned, and what a worker would make of that. What the function raises goes through, and so
    does the `UsageError` for inputs that do not fit it; `SchemaError` if what it returned cannot be stored.
    """
    buffer = ResultBuffer(limit=len(work.rows))
    result = _frame_call(work, buffer) if work.handler.is_batch else _row_call(work, buffer)
    results = buffer.drain()
    if failure := next(iter(results.failures.values()), None):
        raise SchemaError(failure.message)
    return result, results


def _frame_call(work: Work, buffer: ResultBuffer) -> Any:
    extra = (work.context(work.rows, buffer),) if work.handler.takes_context else ()
    frame = work.inputs.frame(work.rows)
    index = getattr(frame, "index", None)  # before the function can change the frame
    result = work.handler.for_frame().call(frame, *extra)
    lay_result(work, buffer, work.rows, (result, index))
    return result


def _row_call(work: Work, buffer: ResultBuffer) -> Any:
    call, arguments = calls(work)
    values = next(arguments)
    limit = asyncio.Timeout(None) if work.handler.is_async else None
    extra = (work.context(work.rows, buffer, limit=limit),) if work.handler.takes_context else ()
    made = partial(call, *values, *extra)
    result = _awaited(made) if work.handler.is_async else made()
    buffer.lay(Results(rows=work.rows, values=(result,)))
    return result.value if isinstance(result, Many) else result


def _awaited(call: Callable[..., Any]) -> Any:
    """Run a coroutine function to its end: in a thread of its own where this one has a running event loop, as in a notebook."""

    async def main() -> Any:
        made: Awaitable[Any] = call()
        return await made

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(main())).result()
