"""A secret that is put into every store is found nowhere in the database; and no way of writing lets one in unsealed."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from beanie import BulkWriter
from beanie.exceptions import StateManagementIsTurnedOff
from beanie.odm.actions import ActionDirections
from beanie.operators import Set
from bson import Binary, encode
from pymongo import InsertOne, MongoClient, ReplaceOne, UpdateOne
from pymongo.errors import PyMongoError, WriteError

from mongostore.errors import PayloadUnreadable
from mongostore.models import Claim, OidcProvider, PersistedGrantFilter, Principal
from mongostore.mongo.documents.grants import GrantFields
from mongostore.mongo.documents.identity_providers import IdentityProviderFields
from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed
from mongostore.testing.factories import a_consent, a_grant, a_reference_token, a_refresh_token, an_authorization_code

SENTINEL = "sentinel-Ü-4711-secret"
GRACE = timedelta(seconds=30)
VALIDATION_FAILED = "Document failed validation"

# Clear by design, and so never holding the sentinel here: ids of subjects, sessions, clients and schemes, a grant's
# type, description, times and family, a provider's type, display name and whether it is enabled.


def forms(secret: str) -> Iterator[bytes]:
    """The bytes of a secret as they may lie in a database: as text, in hex, in base64 at any offset."""
    raw = secret.encode()
    yield raw
    yield secret.encode("utf-16-le")
    for encoded in (raw.hex(), raw.hex().upper()):
        yield encoded.encode()
    for offset in range(3):
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
            # What the neighbours have a part in is cut off.
            yield alphabet(bytes(offset) + raw)[4 if offset else 0 : -4].rstrip(b"=")


def found_in(connection: MongoClient[dict[str, Any]], database_name: str, *secrets: str) -> list[str]:
    """Where a secret lies in clear, in any form, in any document of the database or of what was ever written to it."""
    database = connection[database_name]
    places = []
    sources = [(name, database[name].find()) for name in database.list_collection_names()]
    oplog = connection["local"]["oplog.rs"].find({"ns": {"$in": [f"{database_name}.{name}" for name, _ in sources]}})
    for name, documents in [*sources, ("the oplog", oplog)]:
        for document in documents:
            raw = encode(document)
            places += [name for secret in secrets for form in forms(secret) if form in raw]
    return places


@pytest.fixture
def raw(mongo_connection, prepared_database):
    return mongo_connection[prepared_database]


def secretive(**values: Any) -> dict[str, Any]:
    """The sentinel in everything that a code or token says of its subject."""
    claims = [Claim("sub", "alice"), Claim("sid", "s1"), Claim(SENTINEL, SENTINEL, SENTINEL, SENTINEL)]
    return {"subject": Principal(claims, SENTINEL), **values}


async def test_a_secret_is_found_nowhere(prepared_database, open_store, mongo_connection, raw):
    """Data, claims, scopes, nonces, redirect URIs and provider secrets are sealed; handles are hashed."""
    access_token = a_reference_token(
        audiences=[SENTINEL],
        issuer=SENTINEL,
        confirmation=SENTINEL,
        claims=[Claim("sub", "alice"), Claim("scope", SENTINEL), Claim(SENTINEL, SENTINEL)],
    )
    code = an_authorization_code(
        **secretive(
            requested_scopes=[SENTINEL],
            requested_resource_indicators=[SENTINEL],
            redirect_uri=SENTINEL,
            nonce=SENTINEL,
            state_hash=SENTINEL,
            code_challenge=SENTINEL,
            code_challenge_method=SENTINEL,
            dpop_key_thumbprint=SENTINEL,
            properties={SENTINEL: SENTINEL},
        )
    )
    token = a_refresh_token(
        **secretive(
            access_tokens={SENTINEL: access_token},
            authorized_scopes=[SENTINEL],
            authorized_resource_indicators=[SENTINEL],
        )
    )
    provider = OidcProvider(
        scheme="acme", authority="https://acme.example", client_id=SENTINEL, client_secret=SENTINEL, scope=SENTINEL
    )
    async with open_store(prepared_database) as s:
        text, octets = a_grant(data=SENTINEL), a_grant(data=SENTINEL.encode())
        for grant in (text, octets):
            await s.persisted_grants.store(grant)
        redeemed = await s.authorization_codes.store_authorization_code(code)
        handles = [redeemed, await s.authorization_codes.store_authorization_code(code)]
        family = (await s.authorization_codes.redeem_authorization_code(redeemed)).family
        handles.append(await s.refresh_tokens.store_refresh_token(token, family=family))
        rotation = await s.refresh_tokens.rotate_refresh_token(handles[-1], token, grace=GRACE)
        retry = await s.refresh_tokens.rotate_refresh_token(handles[-1], token, grace=GRACE)
        await s.refresh_tokens.update_refresh_token(rotation.handle, token)
        handles += [rotation.handle, await s.reference_tokens.store_reference_token(access_token, family=family)]
        await s.user_consents.store_user_consent(a_consent(scopes=[SENTINEL]))
        await s.identity_providers.save_identity_provider(provider)
        await s.identity_providers.save_identity_provider(provider)

        # They are all there, in clear, for who has the keys.
        assert retry.handle == rotation.handle
        assert (await s.persisted_grants.get(octets.key)).data == SENTINEL.encode()
        assert (await s.authorization_codes.get_authorization_code(handles[1])).nonce == SENTINEL
        assert (await s.identity_providers.get_by_scheme("acme")).client_secret == SENTINEL
        assert len(await s.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice"))) == 8

    assert raw["grants"].count_documents({}) == 8
    handle_forms = [form for handle in handles for form in (handle, handle.removesuffix("-1"))]
    lower = [handle.lower() for handle in handle_forms]
    assert found_in(mongo_connection, prepared_database, SENTINEL, *handle_forms, *lower) == []
    random_bytes = [bytes.fromhex(handle.removesuffix("-1")) for handle in handles]
    assert not any(each in encode(document) for each in random_bytes for document in raw["grants"].find())


@pytest.mark.parametrize(
    "value",
    [
        SENTINEL,
        {"nested": [SENTINEL]},
        SENTINEL.encode(),
        f"before{SENTINEL}".encode().hex(),
        base64.b64encode(b"1" + SENTINEL.encode()),
        base64.urlsafe_b64encode(b"22" + SENTINEL.encode()).decode(),
    ],
    ids=["text", "nested", "bytes", "hex", "base64", "base64url"],
)
def test_a_secret_in_any_form_would_be_found(mongo_connection, database_name, value):
    """The search finds what it is to find, in documents and in what was deleted since."""
    mongo_connection[database_name]["things"].insert_one({"_id": "x", "value": value})
    assert set(found_in(mongo_connection, database_name, SENTINEL)) == {"things", "the oplog"}
    mongo_connection[database_name]["things"].delete_many({})
    assert set(found_in(mongo_connection, database_name, SENTINEL)) == {"the oplog"}


NOW = datetime(2030, 1, 1, tzinfo=UTC)
UNSEALED: dict[str, Any] = {
    "text": SENTINEL,
    "long text": SENTINEL * 10,
    "bytes": SENTINEL.encode() * 10,
    "binary": Binary(SENTINEL.encode() * 10),
    "nested": {"inside": [SENTINEL]},
    "short": b"\x01" + SENTINEL.encode(),
    "list": [b"\x01" + SENTINEL.encode() * 10],
}
KINDS = {
    GrantFields: {"tenant": "default", "type": "t", "client_id": "web", "creation_time": NOW},
    IdentityProviderFields: {"tenant": "default", "type": "oidc", "scheme": "s", "enabled": True, "revision": 1},
}


@pytest.fixture
async def sealed(protector) -> Sealed:
    return await protector.seal(b"payload", Context("default", "grants", "hit", "payload"))


async def _bulk(document_class, document):
    async with BulkWriter() as writer:
        await document_class.insert_one(document, bulk_writer=writer)


async def _bulk_update(document_class, query, value):
    async with BulkWriter() as writer:
        await document_class.find_one(query).update(Set({"payload": value}), bulk_writer=writer)


async def _changed(document, value, write):
    document.payload = value
    await write(document)


BEFORE = [ActionDirections.BEFORE]
HIT = {"_id": "default|hit"}
MISS = {"_id": "default|miss"}
# Each gets the Beanie class (c), a new document with the unsealed value (n), a stored and sealed one (h), the value (v).
BEANIE_WRITES = {
    "insert": lambda c, n, h, v: n.insert(),
    "create": lambda c, n, h, v: n.create(),
    "insert without hooks": lambda c, n, h, v: n.insert(skip_actions=BEFORE),
    "insert_one": lambda c, n, h, v: c.insert_one(n),
    "insert_one in bulk": lambda c, n, h, v: _bulk(c, n),
    "insert_many": lambda c, n, h, v: c.insert_many([n]),
    "save, new": lambda c, n, h, v: n.save(),
    "save, new, without hooks": lambda c, n, h, v: n.save(skip_actions=BEFORE),
    "save, stored": lambda c, n, h, v: _changed(h, v, lambda d: d.save()),
    "save, stored, without hooks": lambda c, n, h, v: _changed(h, v, lambda d: d.save(skip_actions=BEFORE)),
    "save_changes": lambda c, n, h, v: _changed(h, v, lambda d: d.save_changes()),
    "replace": lambda c, n, h, v: _changed(h, v, lambda d: d.replace()),
    "replace without hooks": lambda c, n, h, v: _changed(h, v, lambda d: d.replace(skip_actions=BEFORE)),
    "replace_many": lambda c, n, h, v: _changed(h, v, lambda d: c.replace_many([d])),
    "set": lambda c, n, h, v: h.set({"payload": v}),
    "set without hooks": lambda c, n, h, v: h.set({"payload": v}, skip_actions=BEFORE),
    "update": lambda c, n, h, v: h.update({"$set": {"payload": v}}),
    "find_one update": lambda c, n, h, v: c.find_one(HIT).update({"$set": {"payload": v}}),
    "find_one set": lambda c, n, h, v: c.find_one(HIT).set({"payload": v}),
    "find_one update in bulk": lambda c, n, h, v: _bulk_update(c, HIT, v),
    "find_one replace_one": lambda c, n, h, v: c.find_one(HIT).replace_one(n.model_copy(update={"id": HIT["_id"]})),
    "find update_many": lambda c, n, h, v: c.find(HIT).update_many({"$set": {"payload": v}}),
    "find set": lambda c, n, h, v: c.find(HIT).set({"payload": v}),
    "update_all": lambda c, n, h, v: c.update_all({"$set": {"payload": v}}),
    "upsert, hit": lambda c, n, h, v: c.find_one(HIT).upsert({"$set": {"payload": v}}, on_insert=n),
    "upsert, miss": lambda c, n, h, v: c.find_one(MISS).upsert({"$set": {"enabled": True}}, on_insert=n),
}


@pytest.mark.parametrize("fields", KINDS, ids=lambda fields: fields.__name__)
async def test_no_write_of_beanie_stores_what_is_not_sealed(sealed, prepared_binding, raw, mongo_connection, fields):
    """Whichever of Beanie's writes it comes by, an unsealed payload is refused: by a hook, or by the database."""
    document_class = await prepared_binding.document(fields)
    for write in BEANIE_WRITES.values():
        for value in UNSEALED.values():
            raw[fields.label].delete_many({})
            await document_class(id=HIT["_id"], payload=sealed, **KINDS[fields]).insert()
            stored = await document_class.get(HIT["_id"])
            new = document_class.model_construct(id=MISS["_id"], payload=value, **KINDS[fields])
            await _refused(lambda: write(document_class, new, stored, value))  # noqa: B023 - called at once
            assert list(raw[fields.label].find({}, ["payload"])) == [{**HIT, "payload": bytes(sealed)}]
    assert found_in(mongo_connection, raw.name, SENTINEL) == []


async def _refused(write: Any) -> None:
    """By our hook, by our type, by the database's validator, or because Beanie was not told to keep track of changes."""
    with pytest.raises((TypeError, PayloadUnreadable, PyMongoError, StateManagementIsTurnedOff)) as caught:
        await write()
    match caught.value:
        case TypeError():
            assert "not sealed" in str(caught.value)
        case PyMongoError():
            assert VALIDATION_FAILED in str(getattr(caught.value, "details", caught.value))


# Each gets the driver's collection and a document with the unsealed value.
DRIVER_WRITES = {
    "insert_one": lambda c, d: c.insert_one(d),
    "insert_many": lambda c, d: c.insert_many([d]),
    "update_one": lambda c, d: c.update_one(HIT, {"$set": {"payload": d["payload"]}}),
    "update_many": lambda c, d: c.update_many({}, {"$set": {"payload": d["payload"]}}),
    "update_one, upsert": lambda c, d: c.update_one(MISS, {"$set": {**d, "_id": MISS["_id"]}}, upsert=True),
    "update_one, pipeline": lambda c, d: c.update_one(HIT, [{"$set": {"payload": {"$literal": d["payload"]}}}]),
    "replace_one": lambda c, d: c.replace_one(HIT, {**d, **HIT}),
    "replace_one, upsert": lambda c, d: c.replace_one(MISS, d, upsert=True),
    "find_one_and_update": lambda c, d: c.find_one_and_update(HIT, {"$set": {"payload": d["payload"]}}),
    "find_one_and_replace": lambda c, d: c.find_one_and_replace(HIT, {**d, **HIT}),
    "bulk_write, insert": lambda c, d: c.bulk_write([InsertOne(d)]),
    "bulk_write, update": lambda c, d: c.bulk_write([UpdateOne(HIT, {"$set": {"payload": d["payload"]}})]),
    "bulk_write, replace": lambda c, d: c.bulk_write([ReplaceOne(HIT, {**d, **HIT})]),
}


@pytest.mark.parametrize("fields", KINDS, ids=lambda fields: fields.__name__)
async def test_no_raw_write_stores_what_is_not_sealed(sealed, raw, mongo_connection, fields):
    """A colleague with the driver's shell is refused by the database itself."""
    raw[fields.label].delete_many({})
    raw[fields.label].insert_one({**HIT, **KINDS[fields], "payload": sealed})
    for write in DRIVER_WRITES.values():
        for value in UNSEALED.values():
            with pytest.raises(PyMongoError) as caught:
                write(raw[fields.label], {**MISS, **KINDS[fields], "payload": value})
            assert VALIDATION_FAILED in str(caught.value.details)
            assert list(raw[fields.label].find({}, ["payload"])) == [{**HIT, "payload": bytes(sealed)}]
    assert found_in(mongo_connection, raw.name, SENTINEL) == []


async def test_a_successor_is_sealed_or_refused(sealed, raw):
    """The handle of a successor is guarded as the payload is."""
    document = {**MISS, **KINDS[GrantFields], "payload": sealed}
    raw["grants"].insert_one({**document, **HIT})
    for value in UNSEALED.values():
        with pytest.raises(WriteError):
            raw["grants"].insert_one({**document, "successor": value})
        with pytest.raises(WriteError):
            raw["grants"].update_one(HIT, {"$set": {"successor": value}})
    raw["grants"].insert_one({**document, "successor": sealed})
