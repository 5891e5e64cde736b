"""What every `ServerSideSessionStore` does with sessions that are alive.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from mongostore.errors import AlreadyExists, NotFound
from mongostore.models import ServerSideSession, SessionFilter
from mongostore.testing.factories import a_session

MILLISECOND = timedelta(milliseconds=1)
HOUR = timedelta(hours=1)
MEBIBYTE = 2**20
ODD_IDENTIFIERS = ["a|b", "a.b", "$where", " a ", "A", "ä", "日本", "default|a", "x" * 1_000]
IMPOSSIBLE_IDENTIFIERS = ["", "a\0b", "x" * 1_001, "\ud800"]


def keys(sessions: list[ServerSideSession]) -> set[str]:
    """The keys of some sessions."""
    return {session.key for session in sessions}


class ServerSideSessionStoreContract:
    """Creating, reading, updating, deleting and sliding sessions."""

    async def test_a_session_comes_back_with_every_field(self, store: Any) -> None:
        """What is created under a key is read back from it, every field."""
        session = a_session(renewed=store.clock.now() + HOUR / 2)
        await store.server_side_sessions.create_session(session)
        assert await store.server_side_sessions.get_session(session.key) == session

    async def test_optional_fields_may_be_absent(self, store: Any) -> None:
        """A session without name and expiry comes back without them, and never expires."""
        session = a_session(display_name=None, expires=None)
        await store.server_side_sessions.create_session(session)
        store.clock.advance(timedelta(days=10_000))
        assert await store.server_side_sessions.get_session(session.key) == session

    async def test_an_unknown_key_gives_none(self, store: Any) -> None:
        """There is no session where none was created."""
        assert await store.server_side_sessions.get_session("unknown") is None
        assert await store.server_side_sessions.delete_session("unknown") is False
        assert await store.server_side_sessions.slide_session("unknown") is None

    @pytest.mark.parametrize("ticket", ["", "text", "ü€😀\0", b"", b"bytes\x00\xff", "x" * MEBIBYTE, b"x" * MEBIBYTE])
    async def test_a_ticket_comes_back_as_text_or_bytes(self, store: Any, ticket: str | bytes) -> None:
        """Text stays text and bytes stay bytes, up to one mebibyte."""
        await store.server_side_sessions.create_session(a_session("k", ticket=ticket))
        found = await store.server_side_sessions.get_session("k")
        assert (type(found.ticket), found.ticket) == (type(ticket), ticket)

    @pytest.mark.parametrize("ticket", ["x" * (MEBIBYTE + 1), b"x" * (MEBIBYTE + 1), "€" * (MEBIBYTE // 3 + 1)])
    async def test_a_larger_ticket_is_refused(self, store: Any, ticket: str | bytes) -> None:
        """More than the limit raises ValueError, names the limit, and stores nothing."""
        with pytest.raises(ValueError, match="1 MiB"):
            a_session("k", ticket=ticket)
        with pytest.raises(ValueError, match="1 MiB"):
            await store.server_side_sessions.create_session(a_session("k").model_copy(update={"ticket": ticket}))
        assert await store.server_side_sessions.get_session("k") is None

    async def test_a_key_in_use_is_refused(self, store: Any) -> None:
        """The second session under a key is AlreadyExists, and the first stays as it was."""
        first = a_session("k")
        await store.server_side_sessions.create_session(first)
        with pytest.raises(AlreadyExists):
            await store.server_side_sessions.create_session(a_session("k", subject_id="mallory"))
        assert await store.server_side_sessions.get_session("k") == first

    async def test_one_of_many_creators_of_a_key_wins(self, store: Any) -> None:
        """Of 20 concurrent creators of one key, exactly one succeeds, over nothing and over an expired session."""
        for _ in range(2):
            sessions = [a_session("k", subject_id=f"u{i}", expires=store.clock.now() + HOUR) for i in range(20)]
            created = await asyncio.gather(
                *(store.server_side_sessions.create_session(session) for session in sessions), return_exceptions=True
            )
            won = [session for session, outcome in zip(sessions, created, strict=True) if outcome is None]
            assert all(outcome is None or isinstance(outcome, AlreadyExists) for outcome in created)
            assert won == [await store.server_side_sessions.get_session("k")]
            store.clock.advance(HOUR)

    async def test_an_update_changes_all_fields(self, store: Any) -> None:
        """Every field is taken from the update, those that it lacks included."""
        await store.server_side_sessions.create_session(a_session("k"))
        now = store.clock.now()
        bare = ServerSideSession(
            key="k", scheme="s", subject_id="bob", session_id="s2", created=now, renewed=now, ticket=b"2"
        )
        await store.server_side_sessions.update_session(bare)
        assert await store.server_side_sessions.get_session("k") == bare
        assert await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice")) == []
        named = bare.model_copy(update={"display_name": "Bob", "expires": now + HOUR})
        await store.server_side_sessions.update_session(named)
        assert await store.server_side_sessions.get_session("k") == named

    async def test_an_update_brings_nothing_back(self, store: Any) -> None:
        """Updating a session that never was, was deleted, or has expired is NotFound, and leaves no session."""
        with pytest.raises(NotFound):
            await store.server_side_sessions.update_session(a_session("never"))
        await store.server_side_sessions.create_session(a_session("deleted"))
        await store.server_side_sessions.delete_session("deleted")
        await store.server_side_sessions.create_session(a_session("expired", expires=store.clock.now() + HOUR))
        store.clock.advance(HOUR)
        for key in ("never", "deleted", "expired"):
            with pytest.raises(NotFound):
                await store.server_side_sessions.update_session(a_session(key, expires=None))
            assert await store.server_side_sessions.get_session(key) is None

    async def test_deletion_tells_whether_there_was_one(self, store: Any) -> None:
        """The first deletion finds the session, the second does not."""
        await store.server_side_sessions.create_session(a_session("k"))
        assert await store.server_side_sessions.delete_session("k") is True
        assert await store.server_side_sessions.delete_session("k") is False
        assert await store.server_side_sessions.get_session("k") is None

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({"subject_id": "a"}, {"a1", "a2"}),
            ({"session_id": "1"}, {"a1", "b1"}),
            ({"subject_id": "a", "session_id": "1"}, {"a1"}),
            ({"subject_id": "a", "session_id": "3"}, set()),
            ({"subject_id": "A"}, set()),
            ({"subject_id": "a\0"}, set()),
        ],
    )
    async def test_a_filter_finds_and_deletes_what_it_names(
        self, store: Any, wanted: dict[str, str], expected: set[str]
    ) -> None:
        """Subject, session id and both together find exactly theirs, and delete and count them."""
        everybody = {"a1", "a2", "b1", "b2"}
        for key in everybody:
            await store.server_side_sessions.create_session(a_session(key, subject_id=key[0], session_id=key[1]))
        condition = SessionFilter(**wanted)
        assert keys(await store.server_side_sessions.get_sessions(condition)) == expected
        assert await store.server_side_sessions.delete_sessions(condition) == len(expected)
        left = [await store.server_side_sessions.get_session(key) for key in everybody]
        assert keys([session for session in left if session]) == everybody - expected

    async def test_a_filter_with_nothing_set_is_refused(self, store: Any) -> None:
        """Everybody is never meant by accident."""
        sessions = store.server_side_sessions
        nothings: list[dict[str, Any]] = [{}, {"subject_id": ""}, {"session_id": ""}]
        for method in (sessions.get_sessions, sessions.delete_sessions, sessions.slide_sessions):
            for nothing in nothings:
                with pytest.raises(ValueError, match=r"subject_id|session_id"):
                    await method(SessionFilter(subject_id="a").model_copy(update={"subject_id": None} | nothing))
            with pytest.raises(TypeError):
                await method(None)

    async def test_a_session_is_absent_from_the_instant_it_expires(self, store: Any) -> None:
        """`expires <= now` is expired: not read, not listed, not slid; one millisecond before, it is there."""
        await store.server_side_sessions.create_session(a_session("k", expires=store.clock.now() + HOUR))
        store.clock.advance(HOUR - MILLISECOND)
        assert await store.server_side_sessions.get_session("k") is not None
        assert len(await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice"))) == 1
        store.clock.advance(MILLISECOND)
        assert await store.server_side_sessions.get_session("k") is None
        assert await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice")) == []
        assert await store.server_side_sessions.slide_session("k") is None
        assert await store.server_side_sessions.slide_sessions(SessionFilter(subject_id="alice")) == 0

    async def test_an_expired_session_is_left_to_be_processed(self, store: Any) -> None:
        """Deletion does not see an expired session, so that its logout is not lost; its key can be used."""
        old = a_session("k", expires=store.clock.now() + HOUR)
        await store.server_side_sessions.create_session(old)
        store.clock.advance(HOUR)
        assert await store.server_side_sessions.delete_session("k") is False
        assert await store.server_side_sessions.delete_sessions(SessionFilter(subject_id="alice")) == 0
        new = a_session("k", session_id="s2", expires=store.clock.now() + HOUR)
        await store.server_side_sessions.create_session(new)
        assert await store.server_side_sessions.get_session("k") == new
        assert await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice")) == [new]
        assert await store.server_side_sessions.delete_session("k") is True
        assert await store.server_side_sessions.claim_expired_sessions(10, HOUR) == [old]

    async def test_sliding_lets_the_time_begin_anew(self, store: Any) -> None:
        """A session that slides expires as long from now as it was given when it was renewed, and keeps the rest."""
        start = store.clock.now()
        session = a_session("k", created=start - HOUR, renewed=start, expires=start + HOUR)
        await store.server_side_sessions.create_session(session)
        store.clock.advance(HOUR / 2)
        now = store.clock.now()
        slid = session.model_copy(update={"renewed": now, "expires": now + HOUR})
        assert await store.server_side_sessions.slide_session("k") == slid
        assert await store.server_side_sessions.get_session("k") == slid
        store.clock.advance(HOUR - MILLISECOND)
        assert await store.server_side_sessions.slide_sessions(SessionFilter(subject_id="alice")) == 1
        store.clock.advance(HOUR - MILLISECOND)
        assert await store.server_side_sessions.get_session("k") is not None
        store.clock.advance(MILLISECOND)
        assert await store.server_side_sessions.claim_expired_sessions(1, HOUR) != []

    async def test_sliding_goes_in_steps(self, store: Any) -> None:
        """Within a hundredth of its time, a session that is used is left as it is; so is one that never expires."""
        start = store.clock.now()
        session = a_session("k", renewed=start, expires=start + HOUR)
        eternal = a_session("eternal", renewed=start, expires=None)
        await store.server_side_sessions.create_session(session)
        await store.server_side_sessions.create_session(eternal)
        store.clock.advance(HOUR / 100 - MILLISECOND)
        assert await store.server_side_sessions.slide_session("k") == session
        assert await store.server_side_sessions.slide_session("eternal") == eternal
        store.clock.advance(MILLISECOND)
        assert (await store.server_side_sessions.slide_session("k")).renewed == store.clock.now()
        assert await store.server_side_sessions.slide_sessions(SessionFilter(session_id="s1")) == 2
        assert await store.server_side_sessions.get_session("eternal") == eternal

    @pytest.mark.parametrize("field", ["key", "scheme", "subject_id", "session_id"])
    @pytest.mark.parametrize("odd", ODD_IDENTIFIERS)
    async def test_no_character_is_special(self, store: Any, field: str, odd: str) -> None:
        """Any text that is not empty and has no NUL is an identifier, compared byte for byte."""
        session = a_session(**{"key": "k", field: odd})
        await store.server_side_sessions.create_session(session)
        assert await store.server_side_sessions.get_session(session.key) == session
        if field in {"subject_id", "session_id"}:
            assert await store.server_side_sessions.get_sessions(SessionFilter(**{field: odd})) == [session]
            assert await store.server_side_sessions.get_sessions(SessionFilter(**{field: odd.swapcase() + "_"})) == []

    @pytest.mark.parametrize("impossible", IMPOSSIBLE_IDENTIFIERS)
    async def test_an_impossible_key_finds_nothing(self, store: Any, impossible: str) -> None:
        """What can't be stored isn't there, and asking for it is no error."""
        assert await store.server_side_sessions.get_session(impossible) is None
        assert await store.server_side_sessions.delete_session(impossible) is False
        assert await store.server_side_sessions.slide_session(impossible) is None
        assert await store.server_side_sessions.acknowledge_expired_sessions([impossible]) == 0

    @pytest.mark.parametrize("impossible", IMPOSSIBLE_IDENTIFIERS)
    @pytest.mark.parametrize("field", ["key", "scheme", "subject_id", "session_id"])
    async def test_an_impossible_identifier_is_not_stored(self, store: Any, field: str, impossible: str) -> None:
        """Saving what can't be found again raises ValueError, which names the field."""
        broken = a_session("k").model_copy(update={field: impossible})
        with pytest.raises(ValueError, match=field):
            await store.server_side_sessions.create_session(broken)
        with pytest.raises(ValueError, match=field):
            await store.server_side_sessions.update_session(broken)
        assert await store.server_side_sessions.get_session("k") is None

    @pytest.mark.parametrize(
        ("field", "wrong"),
        [
            ("display_name", "x" * 1_001),
            ("display_name", "\ud800"),
            ("created", datetime(2030, 1, 1)),  # noqa: DTZ001 - that is the point
            ("expires", datetime(2030, 1, 1)),  # noqa: DTZ001 - that is the point
            ("ticket", 1),
            ("display_name", 1),
        ],
    )
    async def test_what_cannot_be_stored_is_refused(self, store: Any, field: str, wrong: object) -> None:
        """A wrong value is refused by name, at the door."""
        with pytest.raises((TypeError, ValueError), match=field):
            await store.server_side_sessions.create_session(a_session("k").model_copy(update={field: wrong}))
        assert await store.server_side_sessions.get_session("k") is None

    async def test_something_else_than_a_session_is_refused(self, store: Any) -> None:
        """Wrong types are TypeErrors."""
        for wrong in (None, "session", {"key": "k"}):
            with pytest.raises(TypeError):
                await store.server_side_sessions.create_session(wrong)
            with pytest.raises(TypeError):
                await store.server_side_sessions.update_session(wrong)
