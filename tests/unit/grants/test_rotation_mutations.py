"""Each step of the protocols stands where it stands for a reason: moved or left out, some interleaving breaks a promise."""

import contextlib
import re
from dataclasses import replace

import pytest
from interleavings import Broken
from rotation_model import NO_GRACE, Scenario, explore_grants
from stepped_stores import LIBRARY, Parts

from mongostore.errors import AlreadyExists
from mongostore.grants import refresh_tokens as refresh_tokens_module
from mongostore.grants.outcomes import Rotation
from mongostore.grants.refresh_tokens import RefreshTokens
from mongostore.mongo import grant_records, persisted_grants, removal
from mongostore.mongo.documents import grants as documents
from mongostore.mongo.documents.grants import GrantCodec
from mongostore.mongo.grant_records import MongoGrantRecordStore
from mongostore.stores.grant_records import GrantRecord

CLOSED = {"$set": {"anchor": False}}

# Of removal.


def closing_is_left_out(patch):
    async def nothing(*_):
        return None

    patch.setattr(removal, "_close_all", nothing)


def closing_is_one_pass(patch):
    async def one_pass(binding, grants, query):
        await removal._changed_any(binding, grants, query, CLOSED)

    patch.setattr(removal, "_close_all", one_pass)


def second_pass_looks_for_successors_only(patch):
    async def passes(binding, grants, query):
        condition = query
        while await removal._changed_any(binding, grants, condition, CLOSED):
            condition = query | {"predecessor": {"$exists": True}}

    patch.setattr(removal, "_close_all", passes)


def closing_comes_after_deleting(patch):
    closed_and_deleted = removal.remove_grants

    async def deleted_and_closed(binding, grants, query, **types):
        removed = await removal.delete_all(binding, grants, query)
        await closed_and_deleted(binding, grants, query | {"_id": "nothing left to delete"}, **types)
        return removed

    for module in (grant_records, persisted_grants):
        patch.setattr(module, "remove_grants", deleted_and_closed)


def lost_answer_of_a_pass_counts_as_nothing_found(patch):
    send_in_one_go = removal._in_one_go

    async def in_one_go(binding, send):
        return max(await send_in_one_go(binding, send), 0)

    patch.setattr(removal, "_in_one_go", in_one_go)


def anchors_are_not_released(patch):
    removed_types = persisted_grants.removed_types
    patch.setattr(persisted_grants, "removed_types", lambda wanted: (removed_types(wanted)[0], frozenset()))


def presented_token_goes_with_the_others(patch):
    remove_grants = grant_records.remove_grants

    async def all_at_once(binding, grants, query, *, last=None):
        return await remove_grants(binding, grants, query)

    patch.setattr(grant_records, "remove_grants", all_at_once)


# Of single records.


class Sent:
    """The collection, but for what is changed on the way there."""

    def __init__(self, collection):
        self._collection = collection

    def __getattr__(self, name):
        return getattr(self._collection, name)


def through(changed: type[Sent]) -> Parts:
    """The stores, with another collection for single records."""

    class Records(MongoGrantRecordStore):
        _grants = property(lambda self: changed(MongoGrantRecordStore._grants.fget(self)))

    return replace(LIBRARY, records=Records)


class AnchorIsLookedForBeforeTheInsertion(Sent):
    async def bulk_write(self, writes, **options):
        insertion, look = writes
        found = await self.update_one(look._filter, look._doc)
        inserted = await self.update_one(insertion._filter, insertion._doc, upsert=True)
        return inserted._replace(matched_count=found.matched_count)


class RefusedTokenIsLeft(Sent):
    async def delete_one(self, query, **options):
        if "pending" in query:
            return await self._collection.delete_one(query, **options)
        return await self._collection.find_one(query)


class LoserIsLeft(Sent):
    async def delete_one(self, query, **options):
        if "pending" not in query:
            return await self._collection.delete_one(query, **options)
        return await self._collection.find_one(query)


class ClosedTokenIsSucceeded(Sent):
    async def update_one(self, query, change, **options):
        if "$set" in change and "successor" in change["$set"]:
            query = {name: value for name, value in query.items() if name != "anchor"}
        return await self._collection.update_one(query, change, **options)


class ClosedSuccessorIsMadeLive(Sent):
    async def update_one(self, query, change, **options):
        if isinstance(change, list):
            query = {name: value for name, value in query.items() if name != "anchor"}
        return await self._collection.update_one(query, change, **options)


class RetriedSuccessorStaysReleased(Sent):
    async def update_one(self, query, change, **options):
        if isinstance(change, list):
            anchor = {"$cond": ["$pending", True, {"$ifNull": ["$anchor", "$$REMOVE"]}]}
            change = [{"$set": change[0]["$set"] | {"anchor": anchor}}]
        return await self._collection.update_one(query, change, **options)


class UsedTokenIsSucceededAgain(Sent):
    async def update_one(self, query, change, **options):
        if "$set" in change and "successor" in change["$set"]:
            query = {name: value for name, value in query.items() if name != "consumed_time"}
        return await self._collection.update_one(query, change, **options)


class SuccessorIsMadeLiveByUpsert(MongoGrantRecordStore):
    def __init__(self, *parts):
        super().__init__(*parts)
        self._inserted = {}

    async def insert(self, record, *, pending_until=None):
        self._inserted[record.grant.key] = record
        await super().insert(record, pending_until=pending_until)

    async def make_live(self, key):
        if await super().make_live(key):
            return True
        with contextlib.suppress(AlreadyExists):
            await super().insert(self._inserted[key])
        return True


class SuccessorIsVisibleAtOnce(MongoGrantRecordStore):
    async def insert(self, record, *, pending_until=None):
        await super().insert(record)


class NamedFamilyIsNotMarked(MongoGrantRecordStore):
    async def _close(self, family):
        return None


class NamedFamilyIsMarkedAfterItsRemoval(MongoGrantRecordStore):
    async def remove_family(self, family, *, last=None):
        removed = await removal.remove_grants(self._binding, self._grants, {"tenant": "default", "family": family})
        await self._close(family)
        return removed


class CodeBecomesNoAnchor(GrantCodec):
    def consumption(self, now):
        ((stage,),) = [super().consumption(now)]
        return [{"$set": stage["$set"] | {"anchor": "$$REMOVE"}}]


class ClosedCodeBecomesAnAnchor(GrantCodec):
    def consumption(self, now):
        ((stage,),) = [super().consumption(now)]
        return [{"$set": stage["$set"] | {"anchor": True}}]


class UsedTokenIsNoAnchor(GrantCodec):
    async def link(self, *link):
        return await super().link(*link) | {"$unset": {"anchor": ""}}


class UsedTokenForgetsItsSuccessor(GrantCodec):
    async def link(self, *link):
        change = await super().link(*link)
        return {"$set": {name: value for name, value in change["$set"].items() if not name.startswith("successor")}}


def joining_token_is_an_anchor(patch):
    patch.setattr(documents, "is_issuing", lambda grant, family: family is not None and grant.type == "refresh_token")


# Of the order of these steps.


class TokenIsUsedBeforeItsSuccessorIsThere(RefreshTokens):
    async def rotate_refresh_token(self, handle, successor, *, grace=NO_GRACE):
        key = self._serializer.key(handle)
        old = await self._records.find(key, kept=True)
        if old is None:
            return Rotation("unknown")
        new = refresh_tokens_module.new_handle()
        grant = self._grant(successor, self._serializer.key(new))
        family = refresh_tokens_module._family_of(old)
        if old.grant.consumed_time is not None or not await self._records.succeed(
            old, successor=grant, successor_handle=new, grace=grace
        ):
            old = await self._records.find(key, kept=True)
            return await self._second_use(old, successor, grace) if old and old.successor_key else Rotation("unknown")
        pending = GrantRecord(grant, family=family, predecessor=key)
        await self._records.insert(pending, pending_until=self._clock.now() + refresh_tokens_module.PENDING_MARGIN)
        if not await self._records.make_live(grant.key):
            return Rotation("unknown")
        return Rotation("rotated", new, successor, family)


class ReplayRevokesNothing(RefreshTokens):
    async def _revoke(self, record):
        return None


class RawTokenGoesAfterItsFamily(RefreshTokens):
    async def _revoke(self, record):
        await self._records.remove_family(refresh_tokens_module._family_of(record))
        await self._grants.remove(record.grant.key)


def with_records(records: type[MongoGrantRecordStore]) -> Parts:
    return replace(LIBRARY, records=records)


def with_codec(codec: type[GrantCodec]) -> Parts:
    return replace(LIBRARY, codec=codec)


def with_refresh_tokens(refresh_tokens: type[RefreshTokens]) -> Parts:
    return replace(LIBRARY, refresh_tokens=refresh_tokens)


ROTATED_TWICE = Scenario("token", ("rotate_twice", "revoke_family"))
ISSUED = Scenario("redeemed", ("issue_reference", "revoke_family"))
BOTH_ISSUED = Scenario("redeemed", ("issue_refresh", "issue_reference", "revoke_family"))
MUTATIONS = [
    (closing_is_left_out, ROTATED_TWICE, "survived"),
    (closing_is_left_out, ISSUED, "survived"),
    (closing_is_one_pass, ROTATED_TWICE, "survived"),
    (closing_is_one_pass, Scenario("token", ("rotate_twice", "revoke_subject")), "survived"),
    (second_pass_looks_for_successors_only, Scenario("redeemed", ("issue_and_rotate", "revoke_family")), "survived"),
    (closing_comes_after_deleting, ISSUED, "survived"),
    (closing_comes_after_deleting, ROTATED_TWICE, "survived"),
    (lost_answer_of_a_pass_counts_as_nothing_found, replace(ROTATED_TWICE, losses=1), "survived"),
    (anchors_are_not_released, Scenario("redeemed", ("issue_reference", "revoke_reference_tokens")), "survived"),
    (anchors_are_not_released, Scenario("redeemed", ("issue_refresh", "revoke_refresh_tokens")), "survived"),
    (
        presented_token_goes_with_the_others,
        Scenario("long_issued", ("rotate", "revoke_handle"), order="forwards", losses=1),
        "survived",
    ),
    (through(AnchorIsLookedForBeforeTheInsertion), ISSUED, "survived"),
    (through(RefusedTokenIsLeft), ISSUED, "survived"),
    (through(LoserIsLeft), Scenario("token", ("rotate", "rotate")), "left over"),
    (through(ClosedTokenIsSucceeded), ROTATED_TWICE, "survived"),
    (through(ClosedSuccessorIsMadeLive), Scenario("token", ("rotate_twice", "revoke_subject")), "survived"),
    (through(RetriedSuccessorStaysReleased), Scenario("token", ("rotate", "revoke_reference_tokens")), "lost"),
    (through(UsedTokenIsSucceededAgain), Scenario("token", ("rotate", "rotate")), "doubled"),
    (with_records(SuccessorIsMadeLiveByUpsert), Scenario("token", ("rotate", "revoke_family")), "survived"),
    (with_records(SuccessorIsVisibleAtOnce), Scenario("token", ("rotate", "rotate")), "doubled"),
    (with_records(NamedFamilyIsNotMarked), Scenario("named_token", ("refresh", "revoke_family")), "survived"),
    (
        with_records(NamedFamilyIsMarkedAfterItsRemoval),
        Scenario("named_token", ("refresh", "revoke_family")),
        "survived",
    ),
    (with_codec(CodeBecomesNoAnchor), Scenario("unredeemed", ("redeem",)), "lost"),
    (with_codec(ClosedCodeBecomesAnAnchor), Scenario("unredeemed", ("redeem", "revoke_subject")), "survived"),
    (with_codec(UsedTokenIsNoAnchor), Scenario("token", ("refresh", "rotate_twice")), "lost"),
    (with_codec(UsedTokenForgetsItsSuccessor), Scenario("token", ("rotate",)), "lost"),
    (joining_token_is_an_anchor, BOTH_ISSUED, "survived"),
    (joining_token_is_an_anchor, Scenario("redeemed", ("issue_refresh", "revoke_family"), crashes=1), "survived"),
    (with_refresh_tokens(TokenIsUsedBeforeItsSuccessorIsThere), Scenario("token", ("rotate",), crashes=1), "lost"),
    (with_refresh_tokens(TokenIsUsedBeforeItsSuccessorIsThere), ROTATED_TWICE, "survived"),
    (with_refresh_tokens(ReplayRevokesNothing), Scenario("token", ("rotate", "rotate"), NO_GRACE), "survived"),
    (with_refresh_tokens(RawTokenGoesAfterItsFamily), Scenario("raw_token", ("rotate", "revoke_handle")), "survived"),
]


def _name(part: object) -> str:
    if isinstance(part, Parts):
        (changed,) = {part.records, part.grants, part.codec, part.refresh_tokens} - {*vars(LIBRARY).values()}
        return changed.__name__
    return getattr(part, "__name__", str(part))


@pytest.mark.parametrize(("mutation", "scenario", "consequence"), MUTATIONS, ids=_name)
def test_a_changed_order_of_steps_breaks_a_promise(monkeypatch, mutation, scenario, consequence):
    """A step that is moved or left out doubles, loses or brings back a token, or leaves something behind."""
    parts = mutation if isinstance(mutation, Parts) else LIBRARY
    if parts is LIBRARY:
        mutation(monkeypatch)
    with pytest.raises(Broken, match=re.escape(consequence)):
        explore_grants(scenario, parts)
