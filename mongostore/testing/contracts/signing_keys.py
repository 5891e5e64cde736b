"""What every `SigningKeyStore` does.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from mongostore.errors import AlreadyExists
from mongostore.signing.key_material import generate, serialize
from mongostore.testing.contracts.persisted_grants import IMPOSSIBLE_IDENTIFIERS, NO_TEXTS
from mongostore.testing.factories import a_grant, a_private_jwk, a_serialized_key

STORERS = 20
RSA_BITS = 2048
MEBIBYTE = 2**20


class SigningKeyStoreContract:
    """Loading, storing and deleting signing keys, and adding one to the keys that were seen."""

    async def test_an_empty_store_has_no_keys(self, store: Any) -> None:
        """There are no keys where none was stored."""
        assert await store.signing_keys.load_keys() == []
        assert await store.signing_keys.delete_key("unknown") is False

    async def test_every_field_comes_back(self, store: Any) -> None:
        """A key with every field that may differ from its default is read as it was stored."""
        validity = (store.clock.now(), store.clock.now() + timedelta(days=1))
        key = serialize(generate("PS512", "k|$.1", RSA_BITS, validity), store.clock.now() - timedelta(days=3))
        assert key.is_x509_certificate
        await store.signing_keys.store_key(key)
        assert await store.signing_keys.load_keys() == [key]

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"data": ""}, "no JSON"),
            ({"data": "hunter2"}, "no JSON"),
            ({"data": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"}, "PEM"),
            ({"data": "[" * 100_000}, "no JSON"),
            ({"data": '["hunter2"]'}, "no JWK"),
            (
                {"data": '{"kty":"oct","k":"hunter2","kid":"k","alg":"HS256"}', "algorithm": "HS256"},
                "'HS256' is none of",
            ),
            ({"data": '{"kty":"oct","k":"hunter2","kid":"k","alg":"ES256"}'}, "RSA or EC"),
            ({"data": '{"kty":"RSA","n":"hunter2","e":"AQAB"}'}, "ES256 does not sign"),
            ({"data": a_private_jwk("k", d=None)}, "private JWK"),
            ({"data": a_private_jwk("k").replace('"d"', '"not_d"')}, "public"),
            ({"data": a_private_jwk("k", d="aHVudGVyMg")}, "private JWK"),
            ({"data": a_private_jwk("k", d="A" * 1_000_000)}, "private JWK"),
            ({"data": a_private_jwk("k", crv="P-384")}, "private JWK"),
            ({"data": a_private_jwk("other")}, "another key"),
            ({"data": a_private_jwk("k", alg="ES384")}, "another key"),
            ({"algorithm": "ES384"}, "another key"),
            ({"algorithm": "none"}, "'none' is none of"),
            ({"is_x509_certificate": True}, "private JWK"),
            ({"version": 0}, "version"),
            ({"data_protected": True}, "data_protected"),
        ],
        ids=lambda value: value if isinstance(value, str) else next(iter(value)),
    )
    async def test_what_could_not_sign_is_refused(self, store: Any, changes: dict[str, Any], problem: str) -> None:
        """What is no private JWK of its algorithm is a ValueError that says why, and quotes nothing; nothing is written."""
        with pytest.raises(ValueError, match=problem) as refusal:
            await store.signing_keys.store_key(a_serialized_key("k", **changes))
        for secret in ("hunter2", "jpsQnnGQmL", "aHVudGVyMg"):
            assert secret not in str(refusal.value)
        assert refusal.value.__cause__ is None
        assert await store.signing_keys.load_keys() == []

    async def test_a_jwk_that_names_neither_kid_nor_alg_is_taken(self, store: Any) -> None:
        """Both are optional in a JWK (RFC 7517, sections 4.4 and 4.5)."""
        jwk = json.loads(a_private_jwk("k"))
        key = a_serialized_key("k", data=json.dumps({name: jwk[name] for name in jwk.keys() - {"kid", "alg"}}))
        await store.signing_keys.store_key(key)
        assert await store.signing_keys.load_keys() == [key]

    async def test_a_small_rsa_key_is_refused(self, store: Any) -> None:
        """RFC 7518 asks for 2048 bits."""
        with pytest.raises(ValueError, match="2048 bits"):
            await store.signing_keys.store_key(serialize(generate("RS256", "k", 1024), store.clock.now()))

    async def test_a_key_is_retired_by_the_store_s_own_time(self, store: Any) -> None:
        """Only once that time has come; by whom it was asked, and what their clock shows, does not matter."""
        await store.signing_keys.store_key(a_serialized_key("k"))
        (record,) = (await store.signing_keys.read()).records
        assert await store.signing_keys.retire(record.generation, record.stored + timedelta(hours=1)) is False
        assert await store.signing_keys.retire(record.generation + 1, record.stored) is False
        assert [key.id for key in await store.signing_keys.load_keys()] == ["k"]
        assert await store.signing_keys.retire(record.generation, record.stored) is True
        assert await store.signing_keys.retire(record.generation, record.stored) is False
        seen = await store.signing_keys.read()
        assert (seen.generation, seen.records) == (1, ())

    async def test_all_keys_are_loaded_in_the_order_of_storing(self, store: Any) -> None:
        """Every key comes, in an order that is the same for everybody."""
        keys = [a_serialized_key(str(number)) for number in (3, 1, *range(4, 14), 2)]
        for key in keys:
            await store.signing_keys.store_key(key)
        assert await store.signing_keys.load_keys() == keys

    async def test_a_second_key_of_an_id_is_refused(self, store: Any) -> None:
        """An id is taken once; the first key stays as it is."""
        key = a_serialized_key("k")
        await store.signing_keys.store_key(key)
        with pytest.raises(AlreadyExists, match="'k'"):
            await store.signing_keys.store_key(a_serialized_key("k", created=store.clock.now()))
        assert await store.signing_keys.load_keys() == [key]

    async def test_one_of_many_stores_an_id(self, store: Any) -> None:
        """Of concurrent storers of one id, one succeeds."""
        results = await asyncio.gather(
            *(
                store.signing_keys.store_key(a_serialized_key("k", data=a_private_jwk("k", note=number)))
                for number in range(STORERS)
            ),
            return_exceptions=True,
        )
        (winner,) = [number for number, result in enumerate(results) if result is None]
        assert sum(isinstance(result, AlreadyExists) for result in results) == STORERS - 1
        (stored,) = await store.signing_keys.load_keys()
        assert stored.data == a_private_jwk("k", note=winner)

    async def test_concurrent_storers_of_different_ids_all_succeed(self, store: Any) -> None:
        """No key is lost to another one."""
        keys = [a_serialized_key(str(number)) for number in range(STORERS)]
        await asyncio.gather(*(store.signing_keys.store_key(key) for key in keys))
        loaded = await store.signing_keys.load_keys()
        assert sorted(loaded, key=lambda key: int(key.id)) == keys

    async def test_deleting_takes_the_one_key(self, store: Any) -> None:
        """The first deletion finds the key, the second does not, and others stay."""
        for key_id in ("a", "b", "c"):
            await store.signing_keys.store_key(a_serialized_key(key_id))
        assert await store.signing_keys.delete_key("b") is True
        assert await store.signing_keys.delete_key("b") is False
        assert [key.id for key in await store.signing_keys.load_keys()] == ["a", "c"]

    async def test_one_of_many_deleters_finds_the_key(self, store: Any) -> None:
        """Of concurrent deleters of one key, one is told that there was one."""
        await store.signing_keys.store_key(a_serialized_key("k"))
        deleted = await asyncio.gather(*(store.signing_keys.delete_key("k") for _ in range(STORERS)))
        assert sorted(deleted) == [False] * (STORERS - 1) + [True]

    async def test_another_tenant_s_key_of_the_id_stays(self, store: Any) -> None:
        """Two tenants may have keys of one id; each loads and deletes its own."""
        ours, theirs = store.signing_keys, store.for_tenant("acme").signing_keys
        for keys, note in ((ours, "ours"), (theirs, "theirs")):
            await keys.store_key(a_serialized_key("k", data=a_private_jwk("k", note=note)))
        assert await ours.delete_key("k") is True
        assert await ours.load_keys() == []
        assert [key.data for key in await theirs.load_keys()] == [a_private_jwk("k", note="theirs")]

    async def test_a_deleted_id_can_be_stored_again(self, store: Any) -> None:
        """A key that was deleted by mistake is put back from a backup."""
        for key_id in ("a", "b"):
            await store.signing_keys.store_key(a_serialized_key(key_id))
            await store.signing_keys.delete_key(key_id)
        key = a_serialized_key("b", created=store.clock.now())
        await store.signing_keys.store_key(key)
        assert await store.signing_keys.load_keys() == [key]
        with pytest.raises(AlreadyExists):
            await store.signing_keys.store_key(key)

    @pytest.mark.parametrize("impossible", [*IMPOSSIBLE_IDENTIFIERS, *NO_TEXTS], ids=lambda value: ascii(value)[:9])
    async def test_an_impossible_id_finds_nothing(self, store: Any, impossible: Any) -> None:
        """What can't be stored isn't there."""
        assert await store.signing_keys.delete_key(impossible) is False

    @pytest.mark.parametrize(
        "changes",
        [
            {"id": ""},
            {"id": "a\0b"},
            {"algorithm": ""},
            {"algorithm": None},
            {"created": datetime(2030, 1, 1)},  # noqa: DTZ001 - that is the point
            {"data": None},
            {"data": "\ud800"},
            {"data": "x" * (MEBIBYTE + 1)},
            {"version": "one"},
        ],
        ids=lambda value: ascii(value)[:40],
    )
    async def test_what_can_not_be_stored_is_refused(self, store: Any, changes: dict[str, Any]) -> None:
        """The message names the field, not the data; nothing is written."""
        with pytest.raises((TypeError, ValueError), match=next(iter(changes))) as refusal:
            await store.signing_keys.store_key(a_serialized_key("k", data="hunter2").model_copy(update=changes))
        assert "hunter2" not in str(refusal.value)
        assert await store.signing_keys.load_keys() == []

    async def test_something_else_than_a_key_is_refused(self, store: Any) -> None:
        """Wrong types are TypeErrors."""
        with pytest.raises(TypeError, match="SerializedKey"):
            await store.signing_keys.store_key(a_grant())
        with pytest.raises(TypeError, match="SerializedKey"):
            await store.signing_keys.add(a_grant(), after=0)
        assert await store.signing_keys.load_keys() == []

    async def test_a_key_is_added_only_to_the_keys_that_were_seen(self, store: Any) -> None:
        """Of concurrent additions after one generation, one succeeds; the others have not seen that one."""
        seen = await store.signing_keys.read()
        assert (seen.generation, seen.records) == (0, ())
        added = await asyncio.gather(
            *(store.signing_keys.add(a_serialized_key(str(number)), after=0) for number in range(STORERS))
        )
        assert sorted(added) == [False] * (STORERS - 1) + [True]
        seen = await store.signing_keys.read()
        (record,) = seen.records
        assert (seen.generation, record.generation) == (1, 1)
        assert record.key == a_serialized_key(str(added.index(True)), created=record.created)
        assert await store.signing_keys.add(a_serialized_key("next"), after=1, supersedes=True) is True
        seen = await store.signing_keys.read()
        assert [each.supersedes for each in seen.records] == [False, True]

    async def test_storing_and_deleting_both_spoil_what_was_seen_before(self, store: Any) -> None:
        """A key that came and went leaves a generation, so that nobody adds one to keys that are not those any more."""
        await store.signing_keys.store_key(a_serialized_key("a"))
        assert await store.signing_keys.add(a_serialized_key("b"), after=0) is False
        await store.signing_keys.delete_key("a")
        assert await store.signing_keys.add(a_serialized_key("b"), after=0) is False
        seen = await store.signing_keys.read()
        assert (seen.generation, seen.records) == (1, ())
        assert await store.signing_keys.add(a_serialized_key("b"), after=1) is True
