"""Removal of many grants: closed first, so that nothing comes from them any more, and then deleted.

A grant that is to go may be rotated, or have a token issued from it, at the same moment. So every code and refresh token
that is covered is closed before anything is deleted: no successor follows a closed token, and no token is issued from a
closed record. What came from one before it was closed is there by then, and is deleted with the rest.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from itertools import chain, repeat
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout

from mongostore.errors import StorageUnavailable
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.configuration import tenant_ids
from mongostore.mongo.expiring import BY_ID
from mongostore.stores.arguments import check_instant
from mongostore.stores.grant_records import is_anchored
from mongostore.tenancy import Tenant

_BATCH_SIZE = 2_000

CloseFamily = Callable[[str], Awaitable[None]]
Query = dict[str, Any]
Grants = AsyncCollection[dict[str, Any]]


async def remove_grants(
    binding: Binding,
    grants: Grants,
    query: Query,
    *,
    closed: Iterable[str] | None = None,
    released: Iterable[str] = (),
    last: str | None = None,
    close_family: CloseFamily | None = None,
) -> int:
    """Delete the grants that match, and give their number.

    Args:
        binding: the database.
        grants: the collection.
        query: which grants.
        closed: the types of grants among them that tokens are issued from, or succeed: closed before. None: all of them,
            without asking for their types.
        released: the types that stay, whoever they belong to by the rest of the query, but are no anchors any more.
        last: the `_id` of the record that goes when all others are gone.
        close_family: closes a family that the caller has named, as whoever removes it would: for those of the refresh
            tokens that go.
    """
    of_any_type = {name: value for name, value in query.items() if name != "type"}
    if released := sorted(released):
        # Once: what becomes an anchor meanwhile was redeemed or rotated while the removal ran, and may come after it.
        anchors = of_any_type | {"type": {"$in": released}, "anchor": True}
        await _changed_any(binding, grants, anchors, {"$unset": {"anchor": ""}})
    if closed is None or (closed := sorted(closed)):
        issuing = query if closed is None else of_any_type | {"type": {"$in": closed}}
        issuing = issuing | {"anchor": {"$ne": False}}
        await _close_all(binding, grants, issuing)
    others = 0 if last is None else await delete_all(binding, grants, query | {"_id": {"$ne": last}})
    return others + await delete_all(binding, grants, query, close_family)


async def remove_created_before(binding: Binding, collection: Grants, tenant: Tenant, instant: datetime) -> int:
    """Walk through all records of a tenant and delete those that were created before an instant, closed before.

    It walks again until it meets none: successors may be added behind it.
    """
    instant = check_instant("instant", instant)
    removed = 0
    while here := await _remove_on_a_walk(binding, collection, tenant, instant):
        removed += here
    return removed


async def _remove_on_a_walk(binding: Binding, collection: Grants, tenant: Tenant, instant: datetime) -> int:
    removed, after = 0, None
    while True:
        ids = tenant_ids(tenant, after)
        with binding.call("look for grants to be removed") as own:
            # The index alone tells where the page ends.
            end = await collection.find_one(
                {"_id": ids}, {"_id": 1}, sort=[("_id", ASCENDING)], skip=_BATCH_SIZE - 1, hint=BY_ID, session=own
            )
        page: Query = {"_id": ids | ({"$lte": end["_id"]} if end else {}), "creation_time": {"$lt": instant}}
        await _update(binding, collection, page, {"$set": {"anchor": False}})
        removed += await delete_all(binding, collection, page)
        if end is None:
            return removed
        after = end["_id"]


async def _close_all(binding: Binding, grants: Grants, query: Query) -> None:
    """Close every record that matches, and those that come from them meanwhile.

    A pass may have gone by the place where a record is added. What a code issues during the first pass, the second meets:
    by then every code is closed. Successors may be added during any pass, but each meets a predecessor. So a pass that
    finds nothing, and whose answer arrived at the first try, is the last. From the third on, passes look for successors
    only: a steady stream of new logins does not keep them busy.
    """
    conditions = chain([query, query], repeat(query | {"predecessor": {"$exists": True}}))
    while await _changed_any(binding, grants, next(conditions), {"$set": {"anchor": False}}):
        pass


async def _changed_any(binding: Binding, grants: Grants, query: Query, change: Query) -> bool:
    try:
        return await _update(binding, grants, query, change) != 0
    except StorageUnavailable as error:
        if not isinstance(error.__cause__, ExecutionTimeout | NetworkTimeout):
            raise
    # More than one operation has time for.
    while found := await _some(binding, grants, query):
        await _update(binding, grants, query | {"_id": {"$in": [document["_id"] for document in found]}}, change)
    return True


async def _update(binding: Binding, grants: Grants, query: Query, change: Query) -> int:
    async def update(own: AsyncClientSession | None) -> int:
        return (await grants.update_many(query, change, session=own)).modified_count

    return await _in_one_go(binding, update)


async def delete_all(binding: Binding, grants: Grants, query: Query, close_family: CloseFamily | None = None) -> int:
    """Delete in batches, each well within the time limit of an operation, so that the number is exact."""
    removed = 0
    closed: set[str] = set()
    while found := await _some(binding, grants, query):
        named = set[str]() if close_family is None else _named_families(found) - closed
        if close_family is not None:
            # It needs no anchor, and would take in what is being issued.
            for family in named:
                await close_family(family)
        closed |= named
        these = query | {"_id": {"$in": [document["_id"] for document in found]}}

        async def delete(own: AsyncClientSession | None, these: Query = these) -> int:
            return (await grants.delete_many(these, hint=BY_ID, session=own)).deleted_count

        # After a lost answer, the number is a lower bound.
        removed += max(await _in_one_go(binding, delete), 0)
        # What came into a family before it was closed may have come behind what was found.
        if len(found) < _BATCH_SIZE and not named:
            break
    return removed


def _named_families(documents: list[dict[str, Any]]) -> set[str]:
    """The families of closed tokens that the caller has named."""
    families = {document.get("family") for document in documents if document.get("anchor") is False}
    return {family for family in families if isinstance(family, str) and not is_anchored(family)}


async def _some(binding: Binding, grants: Grants, query: Query) -> list[dict[str, Any]]:
    with binding.call("remove grants") as own:
        return await grants.find(
            query, {"family": 1, "anchor": 1}, limit=_BATCH_SIZE, batch_size=_BATCH_SIZE, session=own
        ).to_list()


async def _in_one_go(binding: Binding, send: Callable[[AsyncClientSession | None], Awaitable[int]]) -> int:
    """Send a command over many records, and once more when the primary is lost: the driver repeats single ones only.

    Returns:
        What it gives: how many records it changed; -1 where the first answer was lost, so that nobody knows.
    """
    with binding.call("remove grants") as own:
        try:
            return await send(own)
        except NetworkTimeout:
            raise
        except AutoReconnect:
            await send(own)
            return -1
