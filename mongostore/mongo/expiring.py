"""Records that are found by one value and serve until an instant: the conditions and commands that their stores share."""

from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from mongostore.mongo.writes import sent

# Every transition names its record by `_id`: no other index is worth a thought.
BY_ID = {"_id": 1}


def present(stored_id: str, now: datetime) -> dict[str, Any]:
    """The condition of every transition: this record, neither consumed nor over.

    When it expires is bound to the payload, where there is one; when it is purged is not.
    """
    return {"_id": stored_id, "consumed_time": None, "purge_at": {"$gt": now}, "expiration": {"$not": {"$lte": now}}}


def is_present(document: dict[str, Any] | None, now: datetime) -> bool:
    """The same for a document that was read, and that it has not expired: when it does is sealed in its payload."""
    if document is None or document.get("consumed_time") is not None or document["purge_at"] <= now:
        return False
    expiration = document.get("expiration")
    return not isinstance(expiration, datetime) or expiration > now


async def insert_over_expired(
    collection: AsyncCollection[dict[str, Any]],
    document: dict[str, Any],
    now: datetime,
    *,
    session: AsyncClientSession | None,
) -> None:
    """Insert a document, in place of one with its `_id` whose time is over: one command.

    Raises:
        DuplicateKeyError: a record that is not over has its `_id`, or another has a value that must be unique.
    """
    # A record whose time is not over does not match, so the upsert inserts, and meets its `_id`.
    over = {"_id": document["_id"], "purge_at": {"$lte": now}}
    await sent(lambda: collection.replace_one(over, document, upsert=True, hint=BY_ID, session=session))


async def take(
    collection: AsyncCollection[dict[str, Any]],
    condition: dict[str, Any],
    now: datetime,
    retention: timedelta,
    *,
    session: AsyncClientSession | None,
) -> dict[str, Any] | None:
    """Consume the record that the condition names: the document as it was, to one caller, in one command."""
    return await sent(
        lambda: collection.find_one_and_update(
            condition,
            {"$set": {"consumed_time": now}, "$min": {"purge_at": now + retention}},
            return_document=ReturnDocument.BEFORE,
            hint=BY_ID,
            session=session,
        )
    )
