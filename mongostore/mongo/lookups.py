"""Look-ups: of one record, the most frequent command of all, and of any number."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect

from mongostore.mongo.binding import Binding

# Up to here, a list is one command.
_FEW = 1_000
_BATCH_SIZE = 1_000


async def find_by_id(
    binding: Binding, action: str, collection: AsyncCollection[dict[str, Any]], stored_id: str
) -> dict[str, Any] | None:
    """Read the document with this `_id`, from where the collection reads.

    It is the command that `find_one` sends, without the driver's cursor, which costs a tenth of the whole; and like the
    driver's own reads, it is sent once more when the connection or the primary was lost.
    """
    send, options = collection.database.command, collection.codec_options
    preference = collection.read_preference
    command = {"find": collection.name, "filter": {"_id": stored_id}, "limit": 1, "singleBatch": True}
    with binding.call(action) as own:
        try:
            reply = await send(command, codec_options=options, read_preference=preference, session=own)
        except AutoReconnect:
            reply = await send(command, codec_options=options, read_preference=preference, session=own)
    found: list[dict[str, Any]] = reply["cursor"]["firstBatch"]
    return found[0] if found else None


async def documents(
    binding: Binding,
    action: str,
    collection: AsyncCollection[dict[str, Any]],
    query: Mapping[str, Any],
) -> AsyncIterator[dict[str, Any]]:
    """Read what matches, however much it is: batch by batch, each within the time limit of an operation."""
    with binding.call(action) as own:
        few = await collection.find(query, limit=_FEW + 1, batch_size=_FEW + 1, session=own).to_list()
    if len(few) <= _FEW:
        for document in few:
            yield document
        return
    # The cursor's own session, over all of its batches: one that a single call is lent goes back after it.
    session = binding.connection.new_session()
    cursor = collection.find(query, batch_size=_BATCH_SIZE, session=session)
    try:
        while cursor.alive:
            with binding.call(action):
                batch = await cursor.to_list(_BATCH_SIZE)
            for document in batch:
                yield document
            # Others get their turn between two batches.
            await asyncio.sleep(0)
    finally:
        await cursor.close()
        if session is not None:
            await session.end_session()
