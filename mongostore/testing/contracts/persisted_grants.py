"""What every `PersistedGrantStore` does.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

import pytest

from mongostore.models import PersistedGrant, PersistedGrantFilter
from mongostore.testing.factories import a_grant

MILLISECOND = timedelta(milliseconds=1)
HOUR = timedelta(hours=1)
MEBIBYTE = 2**20
ODD_IDENTIFIERS = [
    "a|b",
    "a.b",
    "$where",
    "a:b",
    " ",
    " a ",
    "A",
    "a",
    "ä",
    "a\u0308",
    "日本",
    "%7C",
    "default|a",
    "x" * 1_000,
]
IMPOSSIBLE_IDENTIFIERS = ["", "a\0b", "x" * 1_001, "\ud800"]
NO_TEXTS: list[Any] = [None, 7, b"k", ["k"], {"$ne": ""}]


def keys(grants: list[PersistedGrant]) -> set[str]:
    """The keys of some grants."""
    return {grant.key for grant in grants}


class PersistedGrantStoreContract:
    """Storing, reading, filtering, removing and consuming grants."""

    async def test_storing_again_can_use_a_grant_up(self, store: Any) -> None:
        """A grant that is stored with its `consumed_time` over the unconsumed one is read, listed and taken as consumed."""
        grant = a_grant("k")
        await store.persisted_grants.store(grant)
        used = grant.model_copy(update={"consumed_time": store.clock.now()})
        await store.persisted_grants.store(used)
        assert await store.persisted_grants.get("k") == used
        assert await store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice")) == [used]
        assert await store.persisted_grants.consume("k") is None

    async def test_a_stored_grant_comes_back_with_every_field(self, store: Any) -> None:
        """What is stored under a key is read back from it, every field."""
        grant = a_grant(consumed_time=store.clock.now())
        await store.persisted_grants.store(grant)
        assert await store.persisted_grants.get(grant.key) == grant

    async def test_optional_fields_may_be_absent(self, store: Any) -> None:
        """A grant without subject, session, description and expiration comes back without them."""
        grant = a_grant(subject_id=None, session_id=None, description=None, expiration=None)
        await store.persisted_grants.store(grant)
        assert await store.persisted_grants.get(grant.key) == grant

    async def test_an_unknown_key_gives_none(self, store: Any) -> None:
        """There is no grant where none was stored."""
        assert await store.persisted_grants.get("unknown") is None

    async def test_storing_again_replaces_all_fields(self, store: Any) -> None:
        """The second grant under a key takes the place of the first, fields that it lacks included."""
        await store.persisted_grants.store(a_grant("k", consumed_time=store.clock.now()))
        bare = a_grant("k", subject_id=None, session_id=None, description=None, expiration=None, type="t", data=b"2")
        await store.persisted_grants.store(bare)
        assert await store.persisted_grants.get("k") == bare
        assert await store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice")) == []

    @pytest.mark.parametrize("data", ["", "text", "ü€😀\0", b"", b"bytes\x00\xff", b"text"])
    async def test_data_comes_back_as_text_or_bytes(self, store: Any, data: str | bytes) -> None:
        """Text stays text and bytes stay bytes, empty ones too."""
        await store.persisted_grants.store(a_grant("k", data=data))
        found = await store.persisted_grants.get("k")
        assert (type(found.data), found.data) == (type(data), data)

    @pytest.mark.parametrize(
        "data", ["x" * MEBIBYTE, b"x" * MEBIBYTE, "€" * (MEBIBYTE // 3)], ids=["str", "bytes", "utf8"]
    )
    async def test_data_of_one_mebibyte_is_taken(self, store: Any, data: str | bytes) -> None:
        """The limit itself is allowed, counted in UTF-8 bytes."""
        await store.persisted_grants.store(a_grant("k", data=data))
        assert (await store.persisted_grants.get("k")).data == data

    @pytest.mark.parametrize(
        "data", ["x" * (MEBIBYTE + 1), b"x" * (MEBIBYTE + 1), "€" * (MEBIBYTE // 3 + 1)], ids=["str", "bytes", "utf8"]
    )
    async def test_larger_data_is_refused(self, store: Any, data: str | bytes) -> None:
        """More than the limit raises ValueError, names the limit, and stores nothing."""
        with pytest.raises(ValueError, match="1 MiB"):
            await store.persisted_grants.store(a_grant("k", data=data))
        with pytest.raises(ValueError, match="1 MiB"):
            await store.persisted_grants.store(a_grant("k").model_copy(update={"data": data}))
        assert await store.persisted_grants.get("k") is None

    @pytest.mark.parametrize("field", ["key", "type", "subject_id", "session_id", "client_id"])
    @pytest.mark.parametrize("odd", ODD_IDENTIFIERS)
    async def test_no_character_is_special(self, store: Any, field: str, odd: str) -> None:
        """Any text that is not empty and has no NUL is an identifier, compared byte for byte."""
        grant = a_grant(**{"key": "k", field: odd})
        await store.persisted_grants.store(grant)
        await store.persisted_grants.store(a_grant("other", subject_id="o", session_id="o", client_id="o", type="o"))
        assert await store.persisted_grants.get(grant.key) == grant
        if field != "key":
            found = await store.persisted_grants.get_all(PersistedGrantFilter.model_validate({field: odd}))
            assert keys(found) == {"k"}
        for similar in {odd.upper(), odd.lower(), odd.strip() or "z", odd + " "} - {odd}:
            if field == "key":
                assert await store.persisted_grants.get(similar) is None
            else:
                assert await store.persisted_grants.get_all(PersistedGrantFilter.model_validate({field: similar})) == []

    @pytest.mark.parametrize("impossible", [*IMPOSSIBLE_IDENTIFIERS, *NO_TEXTS], ids=lambda value: ascii(value)[:9])
    async def test_an_impossible_key_finds_nothing(self, store: Any, impossible: Any) -> None:
        """What can't be stored isn't there, and asking for it is no error; no operator of a database is one here."""
        await store.persisted_grants.store(a_grant("k"))
        assert await store.persisted_grants.get(impossible) is None
        assert await store.persisted_grants.consume(impossible) is None
        assert await store.persisted_grants.remove(impossible) is False
        assert await store.persisted_grants.get("k") is not None

    @pytest.mark.parametrize("impossible", IMPOSSIBLE_IDENTIFIERS)
    @pytest.mark.parametrize("field", ["key", "type", "subject_id", "session_id", "client_id"])
    async def test_an_impossible_identifier_is_not_stored(self, store: Any, field: str, impossible: str) -> None:
        """Saving what can't be found again raises ValueError, which names the field, and stores nothing."""
        grant = a_grant("k")
        with pytest.raises(ValueError, match=field):
            await store.persisted_grants.store(grant.model_copy(update={field: impossible}))
        assert await store.persisted_grants.get_all(PersistedGrantFilter(client_id="web")) == []

    @pytest.mark.parametrize("field", ["creation_time", "expiration", "consumed_time"])
    async def test_a_naive_datetime_is_refused(self, store: Any, field: str) -> None:
        """An instant without a time zone could mean anything."""
        naive = datetime(2030, 1, 1)  # noqa: DTZ001 - that is the point
        with pytest.raises(ValueError, match=field):
            a_grant("k", **{field: naive})
        with pytest.raises(ValueError, match=field):
            await store.persisted_grants.store(a_grant("k").model_copy(update={field: naive}))

    @pytest.mark.parametrize("field", ["subject_id", "session_id", "client_id", "type"])
    async def test_an_impossible_identifier_in_a_filter_matches_nothing(self, store: Any, field: str) -> None:
        """A filter for what can't be stored finds and removes nothing."""
        await store.persisted_grants.store(a_grant())
        wanted = PersistedGrantFilter.model_validate({field: "a\0b"})
        assert await store.persisted_grants.get_all(wanted) == []
        assert await store.persisted_grants.remove_all(wanted) == 0

    @pytest.mark.parametrize("field", ["subject_id", "session_id", "client_id", "type"])
    async def test_an_empty_identifier_in_a_filter_is_refused(self, store: Any, field: str) -> None:
        """An empty text is a mistake, and must not widen what is removed."""
        for method in (store.persisted_grants.get_all, store.persisted_grants.remove_all):
            with pytest.raises(ValueError, match=field):
                await method(PersistedGrantFilter.model_validate({field: ""}))

    async def test_a_filter_with_nothing_set_is_refused(self, store: Any) -> None:
        """Everything is never meant by accident."""
        for method in (store.persisted_grants.get_all, store.persisted_grants.remove_all):
            with pytest.raises(ValueError, match="filter"):
                await method(PersistedGrantFilter())
            with pytest.raises(ValueError, match="filter"):
                await method(PersistedGrantFilter.model_construct(**dict.fromkeys(PersistedGrantFilter.model_fields)))

    async def test_every_combination_of_a_filter_is_anded(self, store: Any) -> None:
        """All 15 combinations of subject, session, client and type list, and remove, exactly what they should."""
        stored = await self._store_a_matrix(store)
        wanted = {"subject_id": "s1", "session_id": "n1", "client_id": "c1", "type": "t1"}
        for size in range(1, 5):
            for fields in combinations(wanted, size):
                conditions = {field: wanted[field] for field in fields}
                expected = {g.key for g in stored if all(getattr(g, f) == v for f, v in conditions.items())}
                found = await store.persisted_grants.get_all(PersistedGrantFilter.model_validate(conditions))
                assert keys(found) == expected, conditions
                assert found == [next(g for g in stored if g.key == f.key) for f in found]

    @pytest.mark.parametrize("size", [1, 2, 3, 4])
    async def test_every_combination_of_a_filter_removes(self, store: Any, size: int) -> None:
        """Removal takes what the filter matches, counts it, and leaves the rest."""
        wanted = {"subject_id": "s1", "session_id": "n1", "client_id": "c1", "type": "t1"}
        for fields in combinations(wanted, size):
            stored = await self._store_a_matrix(store)
            conditions = {field: wanted[field] for field in fields}
            doomed = {g.key for g in stored if all(getattr(g, f) == v for f, v in conditions.items())}
            assert await store.persisted_grants.remove_all(PersistedGrantFilter.model_validate(conditions)) == len(
                doomed
            )
            rest = await store.persisted_grants.get_all(PersistedGrantFilter(types=["t1", "t2"]))
            assert keys(rest) == {g.key for g in stored} - doomed

    async def test_lists_join_their_single_value(self, store: Any) -> None:
        """`client_ids` and `client_id` are one set, so are `types` and `type`."""
        for client_id, grant_type in [("c1", "t1"), ("c2", "t2"), ("c3", "t3")]:
            await store.persisted_grants.store(a_grant(client_id, client_id=client_id, type=grant_type))
        for wanted, expected in [
            (PersistedGrantFilter(client_ids=["c1", "c2"]), {"c1", "c2"}),
            (PersistedGrantFilter(client_ids=["c1"], client_id="c3"), {"c1", "c3"}),
            (PersistedGrantFilter(types=["t1", "t2"]), {"c1", "c2"}),
            (PersistedGrantFilter(types=["t1"], type="t3"), {"c1", "c3"}),
            (PersistedGrantFilter(client_ids=["c1", "c2"], types=["t2", "t3"]), {"c2"}),
            (PersistedGrantFilter(client_ids=["nobody"]), set()),
        ]:
            assert keys(await store.persisted_grants.get_all(wanted)) == expected

    async def test_an_explicitly_empty_list_matches_nothing(self, store: Any) -> None:
        """None is unset; an empty list is a set without members, and never widens a filter."""
        await store.persisted_grants.store(a_grant())
        for wanted in (
            PersistedGrantFilter(client_ids=[]),
            PersistedGrantFilter(types=[]),
            PersistedGrantFilter(subject_id="alice", client_ids=[]),
            PersistedGrantFilter(subject_id="alice", types=[]),
        ):
            assert await store.persisted_grants.get_all(wanted) == []
            assert await store.persisted_grants.remove_all(wanted) == 0
        assert len(await store.persisted_grants.get_all(PersistedGrantFilter(client_ids=[], client_id="web"))) == 1

    async def test_remove_tells_whether_there_was_one(self, store: Any) -> None:
        """The first removal finds the grant, the second does not, and a missing one is no error."""
        await store.persisted_grants.store(a_grant("k"))
        assert await store.persisted_grants.remove("k") is True
        assert await store.persisted_grants.remove("k") is False
        assert await store.persisted_grants.get("k") is None

    async def test_consume_gives_the_grant_as_it_was_once(self, store: Any) -> None:
        """The first consumer gets the grant, the second nothing, and readers see when it was consumed."""
        grant = a_grant("k")
        await store.persisted_grants.store(grant)
        store.clock.advance(timedelta(seconds=1))
        assert await store.persisted_grants.consume("k") == grant
        assert await store.persisted_grants.consume("k") is None
        consumed = grant.model_copy(update={"consumed_time": store.clock.now()})
        assert await store.persisted_grants.get("k") == consumed
        assert await store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice")) == [consumed]

    async def test_consume_of_what_is_not_there_gives_none(self, store: Any) -> None:
        """There is nothing to consume where nothing was stored."""
        assert await store.persisted_grants.consume("unknown") is None

    async def test_concurrent_consumers_have_one_winner(self, store: Any) -> None:
        """Of 50 concurrent consumers, exactly one gets the grant."""
        for round_ in range(5):
            await store.persisted_grants.store(a_grant(f"k{round_}"))
            taken = await asyncio.gather(*(store.persisted_grants.consume(f"k{round_}") for _ in range(50)))
            assert sum(grant is not None for grant in taken) == 1

    async def test_concurrent_first_writers_of_one_key_all_succeed(self, store: Any) -> None:
        """Storing is insert or replace even when 20 callers insert at once; one of their grants stays."""
        grants = [a_grant("k", data=str(number)) for number in range(20)]
        await asyncio.gather(*(store.persisted_grants.store(grant) for grant in grants))
        assert await store.persisted_grants.get("k") in grants
        assert len(await store.persisted_grants.get_all(PersistedGrantFilter(client_id="web"))) == 1

    async def test_a_grant_is_absent_from_the_instant_it_expires(self, store: Any) -> None:
        """`expiration <= now` is expired: not read, not listed, not consumed; one millisecond before, it is there."""
        expiration = store.clock.now() + HOUR
        await store.persisted_grants.store(a_grant("k", expiration=expiration))
        store.clock.advance(HOUR - MILLISECOND)
        assert await store.persisted_grants.get("k") is not None
        assert len(await store.persisted_grants.get_all(PersistedGrantFilter(client_id="web"))) == 1
        store.clock.advance(MILLISECOND)
        assert await store.persisted_grants.get("k") is None
        assert await store.persisted_grants.get_all(PersistedGrantFilter(client_id="web")) == []
        assert await store.persisted_grants.consume("k") is None

    async def test_an_expired_grant_is_still_removed_counted_and_replaced(self, store: Any) -> None:
        """Removal counts what is physically there, and an expired record never blocks its key."""
        expiration = store.clock.now() + HOUR
        for key in ("a", "b", "c"):
            await store.persisted_grants.store(a_grant(key, expiration=expiration))
        store.clock.advance(HOUR)
        assert await store.persisted_grants.remove("a") is True
        fresh = a_grant("b", subject_id="bob", expiration=store.clock.now() + HOUR)
        await store.persisted_grants.store(fresh)
        assert await store.persisted_grants.get("b") == fresh
        assert await store.persisted_grants.remove_all(PersistedGrantFilter(subject_id="alice")) == 1

    async def test_a_grant_without_expiration_never_expires(self, store: Any) -> None:
        """No expiration is for ever."""
        await store.persisted_grants.store(a_grant("k", expiration=None))
        store.clock.advance(timedelta(days=10_000))
        assert await store.persisted_grants.get("k") is not None

    async def test_a_consumed_grant_is_kept_for_the_retention(self, store: Any) -> None:
        """A consumed grant is seen for one day, the default retention, and absent after."""
        await store.persisted_grants.store(a_grant("k", expiration=None))
        await store.persisted_grants.consume("k")
        store.clock.advance(timedelta(days=1) - MILLISECOND)
        assert await store.persisted_grants.get("k") is not None
        store.clock.advance(MILLISECOND)
        assert await store.persisted_grants.get("k") is None

    async def test_a_consumed_grant_is_kept_no_longer_than_it_lives(self, store: Any) -> None:
        """Retention never outlives the grant's own expiration."""
        await store.persisted_grants.store(a_grant("k", expiration=store.clock.now() + HOUR))
        await store.persisted_grants.consume("k")
        store.clock.advance(HOUR)
        assert await store.persisted_grants.get("k") is None

    async def test_instants_are_cut_to_milliseconds(self, store: Any) -> None:
        """What is stored is what was given, in the precision of the store."""
        exact = store.clock.now().replace(microsecond=123_456)
        grant = a_grant("k", creation_time=exact)
        assert grant.creation_time.microsecond == 123_000
        await store.persisted_grants.store(grant)
        assert (await store.persisted_grants.get("k")).creation_time == grant.creation_time

    async def test_something_else_than_a_grant_is_refused(self, store: Any) -> None:
        """Wrong types are TypeErrors."""
        for wrong in (None, "grant", {"key": "k"}):
            with pytest.raises(TypeError):
                await store.persisted_grants.store(wrong)
            with pytest.raises(TypeError):
                await store.persisted_grants.get_all(wrong)

    async def _store_a_matrix(self, store: Any) -> list[PersistedGrant]:
        stored = [
            a_grant(f"{s}{n}{c}{t}", subject_id=s, session_id=n, client_id=c, type=t)
            for s in ("s1", "s2", None)
            for n in ("n1", "n2", None)
            for c in ("c1", "c2")
            for t in ("t1", "t2")
        ]
        await asyncio.gather(*(store.persisted_grants.store(grant) for grant in stored))
        return stored
