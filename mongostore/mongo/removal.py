"""Removal of many grants, in a way that nothing being rotated meanwhile escapes."""

from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout

from mongostore.errors import StorageUnavailable
from mongostore.mongo.binding import Binding

_BATCH_SIZE = 1_000


async def remove_until_none_left(
    binding: Binding, collection: AsyncCollection[dict[str, Any]], query: dict[str, Any]
) -> int:
    """Delete what matches, again and again until a pass deletes nothing, and give the number.

    A rotation adds its successor before it consumes the old token, so a pass that meets the old one may have gone by
    the place of the successor already: the next pass finds it. Later passes look for successors only, so that a steady
    stream of new logins does not keep them busy.

    A pass over more grants than one operation has time for goes on in batches; the number is a lower bound then.
    """
    removed = 0
    condition = query
    while True:
        try:
            count = await _delete(binding, collection, condition)
        except StorageUnavailable as error:
            if not isinstance(error.__cause__, ExecutionTimeout | NetworkTimeout):
                raise
            count = await _delete_in_batches(binding, collection, condition)
        removed += count
        if count == 0:
            return removed
        condition = query | {"predecessor": {"$exists": True}}


async def _delete_in_batches(
    binding: Binding, collection: AsyncCollection[dict[str, Any]], condition: dict[str, Any]
) -> int:
    removed = 0
    while True:
        with binding.call("remove grants") as own:
            batch = await collection.find(
                condition, {"_id": 1}, limit=_BATCH_SIZE, batch_size=_BATCH_SIZE, session=own
            ).to_list()
        if not batch:
            return removed
        removed += await _delete(binding, collection, {"_id": {"$in": [document["_id"] for document in batch]}})


async def _delete(binding: Binding, collection: AsyncCollection[dict[str, Any]], condition: dict[str, Any]) -> int:
    with binding.call("remove grants") as own:
        try:
            return (await collection.delete_many(condition, session=own)).deleted_count
        except NetworkTimeout:
            raise
        except AutoReconnect:
            # The driver does not repeat a delete_many by itself; repeating it is safe.
            return (await collection.delete_many(condition, session=own)).deleted_count
