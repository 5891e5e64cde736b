"""What the signing manager does over every store.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()` and default options.
"""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mongostore.models import SerializedKey
from mongostore.signing.key_material import generate, serialize
from mongostore.testing.factories import a_serialized_key

MILLISECOND = timedelta(milliseconds=1)
DAY = timedelta(days=1)
# The defaults of SigningOptions.
PROPAGATION = 14 * DAY
ROTATION = 90 * DAY
RETIREMENT = 104 * DAY
RSA_BITS = 2048


def a_real_key(store: Any, key_id: str, age: timedelta) -> SerializedKey:
    """A key that can sign, made so long ago."""
    return serialize(generate("RS256", key_id, RSA_BITS), store.clock.now() - age)


async def signing_key_id(store: Any) -> str:
    """The `kid` that a token would have now."""
    key_id: str = (await store.signing.get_signing_credentials()).key_id
    return key_id


async def published_ids(store: Any) -> list[str]:
    """The `kid`s of the JWK Set."""
    return [jwk["kid"] for jwk in (await store.signing.jwks())["keys"]]


async def stored_ids(store: Any) -> list[str]:
    """The `kid`s of what is stored."""
    return [key.id for key in await store.signing_keys.load_keys()]


class SigningContract:
    """Keys are made, announced, used, replaced and retired."""

    async def test_the_first_use_makes_a_key_and_later_ones_use_it(self, store: Any) -> None:
        """A tenant without keys gets one, stored under its `kid`; it goes on signing."""
        credentials = await store.signing.get_signing_credentials()
        assert credentials.algorithm == "RS256"
        assert re.fullmatch("[0-9A-F]{32}", credentials.key_id)
        (stored,) = await store.signing_keys.load_keys()
        assert (stored.id, stored.algorithm, stored.created) == (credentials.key_id, "RS256", store.clock.now())
        store.clock.advance(75 * DAY)
        assert await signing_key_id(store) == credentials.key_id
        assert await stored_ids(store) == [credentials.key_id]

    async def test_the_jwk_set_has_the_public_parts_alone(self, store: Any) -> None:
        """What is published is what RFC 7517 and RFC 7518 §6.3.1 say of an RSA signing key."""
        credentials = await store.signing.get_signing_credentials()
        (jwk,) = (await store.signing.jwks())["keys"]
        assert jwk == {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": credentials.key_id,
            "n": credentials.private_jwk()["n"],
            "e": "AQAB",
        }
        (key,) = await store.signing.get_validation_keys()
        assert (key.key_id, key.algorithm, key.public_jwk()) == (credentials.key_id, "RS256", jwk)

    async def test_publishing_alone_makes_the_first_key(self, store: Any) -> None:
        """Whoever asks for the keys before anything was signed finds the one that will sign."""
        (published,) = await published_ids(store)
        assert await signing_key_id(store) == published

    async def test_concurrent_first_users_share_one_key(self, store: Any) -> None:
        """Of any number of requests that find no key, one makes it."""
        ids = await asyncio.gather(*(signing_key_id(store) for _ in range(50)))
        assert len(set(ids)) == 1
        assert await stored_ids(store) == ids[:1]

    async def test_a_successor_is_announced_before_it_signs(self, store: Any) -> None:
        """It is made 14 days before the old key's 90 days are over, published at once, and signs when they are."""
        old = await signing_key_id(store)
        store.clock.advance(ROTATION - PROPAGATION - MILLISECOND)
        assert await published_ids(store) == [old]
        store.clock.advance(MILLISECOND)
        _, new = await published_ids(store)
        assert await signing_key_id(store) == old
        store.clock.advance(PROPAGATION - MILLISECOND)
        assert await signing_key_id(store) == old
        store.clock.advance(MILLISECOND)
        assert await signing_key_id(store) == new
        assert await stored_ids(store) == [old, new]

    async def test_a_successor_is_announced_though_nobody_signs(self, store: Any) -> None:
        """Asked whether a key is due, the manager makes the successor in time, and nothing for who has no key."""
        assert await store.signing.rotate_if_due() == 0
        assert await stored_ids(store) == []
        first = await signing_key_id(store)
        store.clock.advance(ROTATION - PROPAGATION - MILLISECOND)
        assert await store.signing.rotate_if_due() == 0
        assert await stored_ids(store) == [first]
        store.clock.advance(MILLISECOND)
        assert await store.signing.rotate_if_due() == 1
        assert await store.signing.rotate_if_due() == 0
        _, second = await stored_ids(store)
        store.clock.advance(PROPAGATION)
        assert await signing_key_id(store) == second

    async def test_what_can_not_sign_stops_no_key_that_is_due(self, store: Any) -> None:
        """Data of an older version that open, and are no key, are no lost key."""
        old = a_serialized_key("old", created=store.clock.now() - ROTATION, algorithm="RS256", data="PEM")
        assert await store.signing_keys.add(old, after=0)
        assert await store.signing.rotate_if_due() == 1
        assert await stored_ids(store) == ["old", await signing_key_id(store)]

    async def test_a_key_of_an_older_system_is_published_though_it_is_past_its_time(self, store: Any) -> None:
        """It came in now: what it signed before is about still, and nobody deletes it at first use."""
        await store.signing_keys.store_key(a_real_key(store, "old", 10 * RETIREMENT))
        new = await signing_key_id(store)
        assert await published_ids(store) == ["old", new]
        assert await store.signing.rotate_if_due() == 0
        assert await stored_ids(store) == ["old", new]

    async def test_after_a_long_silence_there_is_a_new_key_at_once(self, store: Any) -> None:
        """Nothing runs in the background: keys that nobody asked for are past their time, and the next one signs."""
        old = await signing_key_id(store)
        store.clock.advance(365 * DAY)
        new = await signing_key_id(store)
        assert new != old
        assert new in await stored_ids(store)

    async def test_an_expired_key_is_replaced_and_validates(self, store: Any) -> None:
        """A key of 90 days signs no more, but what it signed is still about."""
        await store.signing_keys.store_key(a_real_key(store, "old", ROTATION))
        new = await signing_key_id(store)
        assert new != "old"
        assert await published_ids(store) == ["old", new]

    async def test_of_several_active_keys_the_oldest_signs(self, store: Any) -> None:
        """All nodes agree, whichever keys they have beside it; one that is only announced does not sign."""
        for key_id, age in (("announced", PROPAGATION - MILLISECOND), ("younger", PROPAGATION), ("older", 20 * DAY)):
            await store.signing_keys.store_key(a_real_key(store, key_id, age))
        assert await signing_key_id(store) == "older"
        assert await published_ids(store) == ["older", "younger", "announced"]

    async def test_a_key_from_the_future_is_used(self, store: Any) -> None:
        """The node that made it has a clock that is ahead; a second key would not help."""
        await store.signing_keys.store_key(a_real_key(store, "future", -timedelta(hours=1)))
        assert await signing_key_id(store) == "future"
        assert await stored_ids(store) == ["future"]

    async def test_rotation_makes_a_key_that_takes_over_once_it_is_propagated(self, store: Any) -> None:
        """The new key is published at once and signs after 14 days, though the old one would have had 66 more."""
        old = await signing_key_id(store)
        store.clock.advance(10 * DAY)
        new = (await store.signing.rotate()).key_id
        assert await published_ids(store) == [old, new]
        store.clock.advance(PROPAGATION - MILLISECOND)
        assert await signing_key_id(store) == old
        store.clock.advance(MILLISECOND)
        assert await signing_key_id(store) == new
        assert await published_ids(store) == [old, new]
        store.clock.advance(ROTATION - PROPAGATION - MILLISECOND)
        assert await signing_key_id(store) == new

    async def test_rotating_again_gives_the_key_that_was_announced(self, store: Any) -> None:
        """One that waits for its time is enough; once it signs, the next may be made."""
        old = await signing_key_id(store)
        new = (await store.signing.rotate()).key_id
        store.clock.advance(PROPAGATION - MILLISECOND)
        assert (await store.signing.rotate()).key_id == new
        store.clock.advance(MILLISECOND)
        newest = (await store.signing.rotate()).key_id
        assert newest not in {old, new}
        assert await stored_ids(store) == [old, new, newest]

    async def test_rotating_gives_a_successor_that_is_announced_anyway(self, store: Any) -> None:
        """In the last 14 days of a key its successor is there already."""
        old = await signing_key_id(store)
        store.clock.advance(80 * DAY)
        announced = (await published_ids(store))[-1]
        assert (await store.signing.rotate()).key_id == announced
        assert await stored_ids(store) == [old, announced]

    async def test_concurrent_rotations_make_one_key(self, store: Any) -> None:
        """All of them return it; so they do where there was none at all."""
        for count in (1, 2):
            keys = await asyncio.gather(*(store.signing.rotate() for _ in range(8)))
            assert len({key.key_id for key in keys}) == 1
            assert len(await stored_ids(store)) == count
            store.clock.advance(PROPAGATION)

    async def test_a_deleted_key_is_replaced(self, store: Any) -> None:
        """When the keys are read again, after a day at the latest, the key is neither published nor used."""
        old = await signing_key_id(store)
        await store.signing_keys.delete_key(old)
        store.clock.advance(DAY)
        new = await signing_key_id(store)
        assert new != old
        assert await published_ids(store) == [new]

    async def test_an_unusable_key_is_left_out(self, store: Any) -> None:
        """One key that can't be used does not keep the others from being used, and stays where it is."""
        bad = a_serialized_key("bad", algorithm="RS256", created=store.clock.now())
        assert await store.signing_keys.add(bad, after=0)
        await store.signing_keys.store_key(a_real_key(store, "good", DAY))
        assert await signing_key_id(store) == "good"
        assert await published_ids(store) == ["good"]
        assert await stored_ids(store) == ["bad", "good"]

    @pytest.mark.parametrize("data", ["", "hunter2", "null", "[]", "{}", '{"kty":"RSA","d":"hunter2"}'])
    async def test_signing_goes_on_beside_what_is_no_key(self, store: Any, data: str, caplog: Any) -> None:
        """What an older version took for keys opens, so that nothing was lost: it is told, and a key is made."""
        for number in range(5):
            bad = a_serialized_key(f"bad{number}", algorithm="RS256", created=store.clock.now(), data=data)
            assert await store.signing_keys.add(bad, after=number)
        good = await signing_key_id(store)
        assert await published_ids(store) == [good]
        announced = (await store.signing.rotate()).key_id
        store.clock.advance(PROPAGATION)
        assert await signing_key_id(store) == announced
        assert "bad0" in caplog.text
        assert "hunter2" not in caplog.text
        assert len(await stored_ids(store)) == 5 + 2

    async def test_a_key_of_the_farthest_future_stops_nothing(self, store: Any) -> None:
        """A moment that nothing can be added to is a moment."""
        end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
        await store.signing_keys.store_key(serialize(generate("RS256", "end", RSA_BITS), end))
        announced = (await store.signing.rotate()).key_id
        assert set(await published_ids(store)) == {"end", announced}

    async def test_an_algorithm_that_is_not_configured_is_refused(self, store: Any) -> None:
        """The message names those that are; nothing is made."""
        for method in (store.signing.get_signing_credentials, store.signing.rotate):
            with pytest.raises(ValueError, match=r"ES256.*RS256"):
                await method("ES256")
        assert await stored_ids(store) == []

    async def test_what_a_caller_does_to_the_jwk_set_changes_nothing(self, store: Any) -> None:
        """Every caller gets a set of its own."""
        first = await store.signing.jwks()
        first["keys"][0]["kid"] = "changed"
        first["keys"].clear()
        (jwk,) = (await store.signing.jwks())["keys"]
        assert jwk["kid"] == await signing_key_id(store)
