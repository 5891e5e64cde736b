"""What every pair of `MessageStore`s does: messages and consent messages.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mongostore.models import Message
from mongostore.testing.factories import a_grant

MILLISECOND = timedelta(milliseconds=1)
HOUR = timedelta(hours=1)
VALUES = [
    {"Error": "access_denied", "a.b": {"$c": [1, None, {"": "ü€😀\0"}]}},
    ["a", 1.5, True, False, -(2**53)],
    {},
    [],
    "",
    "text",
    0,
    False,
    None,
]


class MessageStoreContract:
    """Writing, reading and deleting messages of either kind."""

    @pytest.fixture(params=["messages", "consent_messages"])
    def messages(self, request: pytest.FixtureRequest, store: Any) -> Any:
        """Either kind."""
        return getattr(store, request.param)

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    async def test_a_message_comes_back_by_its_id(self, messages: Any, value: Any) -> None:
        """Any JSON value is read back as it was, with when it was made, any number of times."""
        message = Message(value, created=datetime(2024, 1, 31, 12, 0, 0, 123000, tzinfo=UTC))
        id_ = await messages.write(message)
        assert await messages.read(id_) == message
        found = await messages.read(id_)
        assert found == message
        assert type(found.data) is type(value)

    async def test_ids_are_unguessable_and_fit_into_a_url(self, messages: Any) -> None:
        """43 characters of 64 kinds, new ones each time for the same message."""
        message = Message("text")
        ids = {await messages.write(message) for _ in range(10)}
        assert len(ids) == 10
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", each) for each in ids)

    @pytest.mark.parametrize("impossible", ["", "unknown", "a\0b", "\ud800", "x" * 5_000, "default|a", "$ne"])
    async def test_an_unknown_id_gives_nothing(self, messages: Any, impossible: str) -> None:
        """Whatever a browser sends for an id, the answer is that there is no message."""
        await messages.write(Message("text"))
        assert await messages.read(impossible) is None
        assert await messages.delete(impossible) is None

    async def test_ids_are_compared_byte_for_byte(self, messages: Any) -> None:
        """Neither case nor spaces are forgiven."""
        id_ = await messages.write(Message("text"))
        for similar in {id_.swapcase(), f" {id_}", f"{id_} ", id_[:-1]}:
            assert await messages.read(similar) is None

    async def test_messages_and_consent_messages_are_apart(self, store: Any) -> None:
        """An id of one kind neither reads nor deletes anything of the other."""
        for mine, other in [
            (store.messages, store.consent_messages),
            (store.consent_messages, store.messages),
        ]:
            message = Message("text")
            id_ = await mine.write(message)
            assert await other.read(id_) is None
            await other.delete(id_)
            assert await mine.read(id_) == message

    async def test_a_message_lives_one_hour_from_when_it_is_written(self, store: Any, messages: Any) -> None:
        """The store's clock counts, not what the message says of its creation."""
        message = Message("text", created=datetime(2001, 1, 1, tzinfo=UTC))
        id_ = await messages.write(message)
        store.clock.advance(HOUR - MILLISECOND)
        assert await messages.read(id_) == message
        store.clock.advance(MILLISECOND)
        assert await messages.read(id_) is None

    async def test_a_deleted_message_is_gone(self, messages: Any) -> None:
        """Deleting one leaves the others, and deleting it again is no error."""
        id_, other = await messages.write(Message("text")), await messages.write(Message("other"))
        for _ in range(2):
            await messages.delete(id_)
            assert await messages.read(id_) is None
        assert (await messages.read(other)).data == "other"

    async def test_bad_input_is_refused(self, messages: Any) -> None:
        """Something else than a message, one that was tampered with, or is too large, is refused."""
        good = Message("text")
        for wrong, error in [
            (None, TypeError),
            ("text", TypeError),
            (a_grant(), TypeError),
            (good.model_copy(update={"data": object()}), ValueError),
            (good.model_copy(update={"data": {"a": "\ud800"}}), ValueError),
            (good.model_copy(update={"data": "x" * 2**20}), ValueError),
        ]:
            with pytest.raises(error):
                await messages.write(wrong)
        for method in (messages.read, messages.delete):
            with pytest.raises(TypeError):
                await method(None)
