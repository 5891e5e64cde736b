"""Secrets of clients and API resources that must not lie in clear: what is sealed, and that nobody can change it."""

import json

import pytest
from bson import Binary

from mongostore import MongoStore, StoreOptions
from mongostore.errors import PayloadUnreadable
from mongostore.models import ApiResource, Secret
from mongostore.mongo.documents.sealed_secrets import is_sensitive
from mongostore.protection.context import Context
from mongostore.testing.factories import a_client

DIGEST = "K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols="
KEYS = {
    "RSA": {"kty": "RSA", "n": "n", "e": "AQAB", "kid": "1", "use": "sig", "alg": "RS256", "x5t#S256": "x"},
    "EC": {"kty": "EC", "crv": "P-256", "x": "x", "y": "y"},
    "OKP": {"kty": "OKP", "crv": "Ed25519", "x": "x"},
}
SYMMETRIC = Secret(type="JWK", value=json.dumps({"kty": "oct", "k": "c2VjcmV0"}))
PUBLIC = Secret(type="JWK", value=json.dumps(KEYS["EC"]))
SECRETS = [SYMMETRIC, PUBLIC, Secret.sha256("s"), Secret(type="api-key", value="hunter2")]


@pytest.mark.parametrize(
    ("secret_type", "value"),
    [
        ("SharedSecret", DIGEST),
        ("X509Thumbprint", "ab:cd"),
        ("X509Name", "CN=app"),
        ("X509CertificateBase64", "MIIB"),
        *(("JWK", json.dumps(key)) for key in KEYS.values()),
    ],
)
def test_digests_and_what_is_public_stay_in_clear(secret_type, value):
    """They can be read, compared and searched for in the database."""
    assert not is_sensitive(secret_type, value)


@pytest.mark.parametrize(
    ("secret_type", "value"),
    [
        ("SharedSecret", "hunter2"),
        ("JWK", json.dumps({"kty": "oct", "k": "c2VjcmV0"})),
        *(("JWK", json.dumps(key | {"d": "d"})) for key in KEYS.values()),
        *(("JWK", json.dumps(KEYS["RSA"] | {name: "x"})) for name in ("p", "q", "dp", "dq", "qi", "oth", "k", "priv")),
        ("JWK", json.dumps({"keys": [KEYS["RSA"]]})),
        ("JWK", json.dumps([KEYS["RSA"]])),
        ("JWK", json.dumps({name: value for name, value in KEYS["RSA"].items() if name != "kty"})),
        ("JWK", '{"kty":"RSA","kty":"oct","k":"c2VjcmV0"}'),
        ("JWK", "no JSON"),
        ("JWK", "[" * 100_000),
        ("sharedsecret", DIGEST),
        ("api-key", "hunter2"),
    ],
    ids=lambda value: value[:60],
)
def test_everything_else_is_sensitive(secret_type, value):
    """What is not known to be public is sealed: symmetric and private keys, and types of a server's own."""
    assert is_sensitive(secret_type, value)


async def saved(store):
    await store.clients.save_client(a_client(client_secrets=SECRETS, pair_wise_subject_salt="grain"))
    await store.resources.save_api_resource(ApiResource(name="orders", api_secrets=SECRETS))


async def test_sealed_secrets_keep_their_place(store, raw):
    """Type, description and expiration stay where they were, the value alone is gone; the salt has no field."""
    await saved(store)
    client, resource = raw.clients.find_one(), raw.api_resources.find_one()
    assert "pair_wise_subject_salt" not in client
    for document, name in ((client, "client_secrets"), (resource, "api_secrets")):
        assert sorted((each["type"], "value" in each) for each in document[name]) == [
            *(("JWK", False), ("JWK", True), ("SharedSecret", True), ("api-key", False)),
        ]
    await store.clients.save_client(a_client())
    assert "payload" not in raw.clients.find_one()


async def test_records_of_before_are_read_and_sealed_when_saved(store, raw):
    """Everything in clear, as earlier versions wrote it, is read; the next save seals it."""
    await saved(store)
    client = (await store.clients.find_client_by_id("web")).model_dump()
    raw.clients.update_one({}, {"$unset": {"payload": 1}, "$set": {"pair_wise_subject_salt": "grain"}})
    clear = [each.model_dump(exclude_none=True) for each in SECRETS]
    raw.clients.update_one({}, {"$set": {"client_secrets": clear}})
    found = await store.clients.find_client_by_id("web")
    assert found.model_dump() == client
    await store.clients.save_client(found)
    stored = str(raw.clients.find_one())
    assert "grain" not in stored
    assert "hunter2" not in stored
    assert (await store.clients.find_client_by_id("web")).model_dump() == client


CHANGES = [
    {"$set": {"{}.1.type": "SharedSecret"}},
    {"$unset": {"{}.0.type": 1}},
    {"$set": {"{}.0.expiration": None}},
    {"$set": {"{}.0.value": "swordfish"}},
    {"$set": {"{}.2.value": DIGEST}},
    {"$push": {"{}": {"type": "SharedSecret", "value": DIGEST}}},
    {"$pop": {"{}": -1}},
    {"$set": {"{}": []}},
    {"$set": {"{}": "swordfish"}},
    {"$unset": {"{}": 1}},
    {"$unset": {"payload": 1}},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
async def test_secrets_are_bound_to_what_is_sealed(mongo_uri, store, raw, change):
    """Beside a payload no secret can be added, removed, retyped, exchanged or kept alive from outside."""
    until = Secret(type="api-key", value="hunter2", expiration="2031-02-03T04:05:06Z", description="0")
    secrets = [until, Secret(type="JWK", value=SYMMETRIC.value, description="1"), Secret.sha256("s", description="2")]
    await store.clients.save_client(a_client(client_secrets=secrets))
    await store.resources.save_api_resource(ApiResource(name="orders", api_secrets=secrets))
    for collection, name in ((raw.clients, "client_secrets"), (raw.api_resources, "api_secrets")):
        assert [each["description"] for each in collection.find_one()[name]] == ["0", "1", "2"]
        collection.update_one({}, {how: {to.format(name): v for to, v in what.items()} for how, what in change.items()})
    with pytest.raises(PayloadUnreadable) as unreadable:
        await store.clients.find_client_by_id("web")
    assert unreadable.value.collection == "clients"
    assert "hunter2" not in str(unreadable.value)
    with pytest.raises(PayloadUnreadable):
        await store.clients.read_client("web")
    with pytest.raises(PayloadUnreadable):
        await store.resources.find_api_resources_by_name(["orders"])


async def test_no_salt_is_believed_beside_a_payload(store, raw):
    """A salt in clear is that of a record of before; where there is a payload, it was put there by somebody else."""
    await saved(store)
    raw.clients.update_one({}, {"$set": {"pair_wise_subject_salt": "sand"}})
    with pytest.raises(PayloadUnreadable, match="pair_wise_subject_salt"):
        await store.clients.find_client_by_id("web")


async def test_a_changed_secret_is_told(mongo_uri, database_name, store, raw):
    """An auditor hears of it."""
    told = []
    await saved(store)
    raw.clients.update_one({}, {"$set": {"client_secrets.0.type": "other"}})
    options = StoreOptions(telemetry=False, on_event=told.append)
    async with MongoStore(
        mongo_uri, database=database_name, master_key=store._key_ring._master_key, options=options
    ) as heard:
        with pytest.raises(PayloadUnreadable):
            await heard.clients.find_client_by_id("web")
    assert [(event.kind, event.collection) for event in told] == [("tampered", "clients")]


@pytest.mark.parametrize(
    "plaintext", [b"", b"hunter2", b"[]", b"{}", b'{"client_secrets": []}', b'{"client_secrets": {"0": 7}}', b"\xff"]
)
async def test_a_payload_of_another_form_is_refused(store, raw, plaintext):
    """What opens and is none of ours is not read, and not repeated."""
    await store.clients.save_client(a_client(client_secrets=[Secret(type="api-key", value="s")]))
    context = Context("default", "clients", "web", "payload")
    raw.clients.update_one({}, {"$set": {"payload": Binary(await store._backends._protector.seal(plaintext, context))}})
    with pytest.raises(PayloadUnreadable) as unreadable:
        await store.clients.find_client_by_id("web")
    assert "hunter2" not in str(unreadable.value)
    assert unreadable.value.__context__ is None


async def test_a_list_leaves_out_what_does_not_open(store, raw, caplog):
    """The others come, from all clients as from all resources, and their origins stay allowed."""
    origin = "https://app.example"
    for client_id in ("a", "b"):
        client = a_client(client_id, client_secrets=SECRETS, allowed_cors_origins=[origin])
        await store.clients.save_client(client)
        await store.resources.save_api_resource(ApiResource(name=client_id, api_secrets=SECRETS))
    for collection, name in ((raw.clients, "client_secrets"), (raw.api_resources, "api_secrets")):
        collection.update_one({"_id": "default|a"}, {"$set": {f"{name}.0.type": "other"}})
    assert [client.client_id async for client in store.clients.get_all_clients()] == ["b"]
    assert [each.name for each in (await store.resources.get_all_resources()).api_resources] == ["b"]
    assert await store.cors_policy.is_origin_allowed(origin) is True
    await store.clients.delete_client("b")
    assert await store.cors_policy.is_origin_allowed(origin) is False
    assert "secret" not in caplog.text.replace("client_secrets", "").replace("api_secrets", "")
