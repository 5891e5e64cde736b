"""The look-up of one record, the most frequent command of all."""

from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect

from mongostore.mongo.binding import Binding


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
