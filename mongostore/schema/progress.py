"""Tells how far a long step is, so that a deployment over millions of records does not look stuck."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from mongostore.errors import StorageUnavailable
from mongostore.mongo.binding import Binding

_INTERVAL_SECONDS = 0.5

Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress:
    """Where a step is.

    Attributes:
        step: what is being done ("create 4 indexes of grants").
        elapsed: since the step began.
        done: records seen by the present phase of an index build; None when MongoDB does not tell.
        total: of how many.
    """

    step: str
    elapsed: timedelta
    done: int | None = None
    total: int | None = None


OnProgress = Callable[[Progress], None]
Measure = Callable[[], Awaitable[tuple[int, int] | None]]


async def with_progress(
    step: str, work: Coroutine[Any, Any, Result], measure: Measure, on_progress: OnProgress | None
) -> Result:
    """Do the work; tell at its start, and from then on twice a second."""
    if on_progress is None:
        return await work
    loop = asyncio.get_running_loop()
    begun = loop.time()
    task = asyncio.create_task(work)
    try:
        on_progress(Progress(step, timedelta(0)))
        while not (await asyncio.wait([task], timeout=_INTERVAL_SECONDS))[0]:
            done, total = await measure() or (None, None)
            on_progress(Progress(step, timedelta(seconds=loop.time() - begun), done, total))
    finally:
        # Without effect when it is done; else the caller was cancelled, or its callback failed.
        task.cancel()
        await asyncio.wait([task])
    return task.result()


def index_build(binding: Binding, collection: str) -> Measure:
    """What asks MongoDB for the progress of the index builds of a collection; it answers None where it is not allowed to."""
    building = {"ns": f"{binding.database_name}.{collection}", "command.createIndexes": collection}
    pipeline: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True}},
        {"$match": building | {"progress.total": {"$gt": 0}}},
        {"$limit": 1},
    ]

    async def measure() -> tuple[int, int] | None:
        try:
            with binding.call("read the progress of the index build") as own:
                operations = await (await binding.connection.client.admin.aggregate(pipeline, session=own)).to_list()
        except StorageUnavailable:
            return None  # It needs a right of its own (inprog), and the build goes on without being watched.
        progress = [each["progress"] for each in operations]
        return (int(progress[0]["done"]), int(progress[0]["total"])) if progress else None

    return measure
