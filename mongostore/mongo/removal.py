"""Removal of many grants, in a way that nothing being rotated meanwhile escapes."""

from datetime import timedelta
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect

from mongostore.mongo.binding import Binding

# A revocation may be of a hundred thousand grants; the time-out of one operation on one record is not for it.
_LONGEST_PASS = timedelta(minutes=1)


async def remove_until_none_left(
    binding: Binding, collection: AsyncCollection[dict[str, Any]], query: dict[str, Any]
) -> int:
    """Delete what matches, again and again until a pass deletes nothing, and give the number.

    A rotation adds its successor before it consumes the old token, so a pass that meets the old one may have gone by
    the place of the successor already: the next pass finds it. Later passes look for successors only, so that a steady
    stream of new logins does not keep them busy.
    """
    removed = 0
    condition = query
    while True:
        with binding.connection.call("remove grants", _LONGEST_PASS):
            try:
                count = (await collection.delete_many(condition)).deleted_count
            except AutoReconnect:
                # The driver does not repeat a delete_many by itself; repeating it is safe.
                count = (await collection.delete_many(condition)).deleted_count
        removed += count
        if count == 0:
            return removed
        condition = query | {"predecessor": {"$exists": True}}
