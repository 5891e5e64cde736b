"""A secret that goes through every store is in no log record, span, metric, event or error.

The driver's own loggers (`pymongo.*`) are left out: they log whole commands at DEBUG, which is for whoever switches that on.
What the stores put into a command is sealed or hashed all the same, see `test_sentinel.py`.
"""

import asyncio
import gc
import logging
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mongostore import LocalMasterKey, MasterKeyChain, MemoryStore, MongoStore, MongostoreError, StoreOptions
from mongostore.models import (
    ApiResource,
    ApiScope,
    Claim,
    IdentityResource,
    Message,
    OidcProvider,
    PersistedGrantFilter,
    Principal,
    RemoveSessionsContext,
    Secret,
    SessionFilter,
    SessionQuery,
)
from mongostore.signing.options import SigningOptions
from mongostore.telemetry import Telemetry
from mongostore.testing import FakeClock
from mongostore.testing.factories import (
    a_backchannel_request,
    a_client,
    a_consent,
    a_device_code,
    a_grant,
    a_pushed_request,
    a_reference_token,
    a_refresh_token,
    a_session,
    a_ticket,
    an_answered_device_code,
    an_authorization_code,
)

SENTINEL = "sentinel-4711-of-a-payload"
PASSWORD = "sentinel-4712-of-a-uri"
GRACE = timedelta(seconds=30)
SHORT = timedelta(milliseconds=500)
REFUSED = (MongostoreError, TypeError, ValueError)


class Records(logging.Handler):
    """Every log record, as any formatter could write it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] != "pymongo":
            self.lines.append(f"{record.name} {self.format(record)} {record.__dict__!r}")


@dataclass
class Scene:
    """Everything that is written or told while secrets go through a store."""

    records: Records
    spans: InMemorySpanExporter
    reader: InMemoryMetricReader
    telemetry: Telemetry
    events: list[Any] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=lambda: [SENTINEL, PASSWORD])

    def options(self, **values: Any) -> StoreOptions:
        return StoreOptions(
            telemetry=self.telemetry,
            on_event=self.events.append,
            signing=SigningOptions(signing_algorithms=("ES256",)),
            **values,
        )

    def secret(self, value: str) -> str:
        """A handle or the like that was given out just now."""
        self.secrets.append(value)
        return value

    async def refused(self, call: Awaitable[Any], *kinds: type[BaseException]) -> None:
        """What must fail, and its error in every form."""
        with pytest.raises(kinds or REFUSED) as caught:
            await call
        error = caught.value
        self.errors += [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]

    def found(self) -> list[str]:
        """Where a secret is."""
        spans = [f"span {span.name} {span.to_json()}" for span in self.spans.get_finished_spans()]
        data = self.reader.get_metrics_data()
        metrics = [f"metrics {data.to_json()}"] if data else []
        errors = [f"error {each}" for each in self.errors]
        places = [*self.records.lines, *spans, *metrics, *errors, *(f"event {each!r}" for each in self.events)]
        forms = {form for secret in self.secrets for form in (secret, secret.removesuffix("-1"), secret.encode().hex())}
        return [place[:300] for place in places if any(form.lower() in place.lower() for form in forms)]


@pytest.fixture
def scene() -> Iterator[Scene]:
    spans, reader, records = InMemorySpanExporter(), InMemoryMetricReader(), Records()
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
    telemetry = Telemetry(tracer_provider=tracer_provider, meter_provider=MeterProvider(metric_readers=[reader]))
    root, driver = logging.getLogger(), logging.getLogger("pymongo")
    levels = root.level, driver.level
    root.addHandler(records)
    root.setLevel(logging.DEBUG)
    driver.setLevel(logging.WARNING)
    yield Scene(records, spans, reader, telemetry)
    root.setLevel(levels[0])
    driver.setLevel(levels[1])
    root.removeHandler(records)


@asynccontextmanager
async def memory(scene: Scene, uri: str, database: str) -> AsyncIterator[MemoryStore]:
    async with MemoryStore(options=scene.options(), clock=FakeClock()) as store:
        yield store


@asynccontextmanager
async def mongo(scene: Scene, uri: str, database: str) -> AsyncIterator[MongoStore]:
    master_key = LocalMasterKey.from_text(scene.secret(LocalMasterKey.generate().export()))
    async with MongoStore(
        uri, database=database, master_key=master_key, options=scene.options(), clock=FakeClock()
    ) as store:
        yield store


def principal() -> Principal:
    return Principal([Claim("sub", "alice"), Claim("sid", "s1"), Claim("email", SENTINEL)], "pwd")


async def configuration(scene: Scene, store: Any) -> None:
    """Clients, resources and providers with secrets, saved, read, and refused in every way."""
    client = a_client(
        client_secrets=[Secret.sha256(scene.secret("client-secret-4713"))], pair_wise_subject_salt=SENTINEL
    )
    await store.clients.save_client(client)
    await store.clients.find_client_by_id("web")
    assert len([each async for each in store.clients.get_all_clients()]) == 1
    await scene.refused(store.clients.save_client(client, expected_revision=0))
    await scene.refused(store.clients.save_client(client, expected_revision=99))
    bad = client.model_copy(update={"redirect_uris": frozenset([SENTINEL]), "client_secrets": [Secret(value=SENTINEL)]})
    await scene.refused(store.clients.save_client(bad))
    await scene.refused(store.clients.save_client(SENTINEL))
    await store.resources.save_identity_resource(IdentityResource(name="openid", user_claims=["sub"]))
    await store.resources.save_api_resource(
        ApiResource(name="orders", api_secrets=[Secret.sha256("client-secret-4713")])
    )
    await scene.refused(store.resources.save_api_scope(ApiScope(name="openid")))
    await store.resources.get_all_resources()
    await store.cors_policy.is_origin_allowed(f"https://{SENTINEL}.example")
    provider = OidcProvider(scheme="acme", authority="https://acme.example", client_id="c", client_secret=SENTINEL)
    await store.identity_providers.save_identity_provider(provider)
    await store.identity_providers.get_by_scheme("acme")
    await scene.refused(store.identity_providers.save_identity_provider(provider, expected_revision=0))


async def grants(scene: Scene, store: Any) -> None:
    """Codes, tokens and consents: used, replayed, revoked, refused."""
    grant = a_grant(data=SENTINEL)
    await store.persisted_grants.store(grant)
    await store.persisted_grants.get(scene.secret(grant.key))
    await scene.refused(store.persisted_grants.store(grant.model_copy(update={"data": SENTINEL * 2**20})))
    await scene.refused(store.persisted_grants.store(SENTINEL))
    await scene.refused(store.persisted_grants.get_all(SENTINEL))
    code = an_authorization_code(subject=principal(), nonce=SENTINEL, redirect_uri=SENTINEL, state_hash=SENTINEL)
    handle = scene.secret(await store.authorization_codes.store_authorization_code(code))
    redemption = await store.authorization_codes.redeem_authorization_code(handle)
    assert (await store.authorization_codes.redeem_authorization_code(handle)).outcome == "replayed"
    await scene.refused(store.authorization_codes.store_authorization_code(SENTINEL))
    token = a_refresh_token(subject=principal(), authorized_scopes=[SENTINEL])
    old = scene.secret(await store.refresh_tokens.store_refresh_token(token, family=redemption.family))
    rotation = await store.refresh_tokens.rotate_refresh_token(old, token, grace=GRACE)
    new = scene.secret(rotation.handle)
    await scene.refused(store.refresh_tokens.update_refresh_token(old, token))
    await scene.refused(store.refresh_tokens.rotate_refresh_token(new, a_refresh_token("somebody else")))
    await scene.refused(store.refresh_tokens.store_refresh_token(token, family=7))
    assert (await store.refresh_tokens.rotate_refresh_token(old, token)).outcome == "replayed"
    reference = a_reference_token(claims=[Claim("sub", "alice"), Claim("email", SENTINEL)])
    await store.reference_tokens.get_reference_token(
        scene.secret(await store.reference_tokens.store_reference_token(reference))
    )
    await store.user_consents.store_user_consent(a_consent(scopes=[SENTINEL]))
    await store.grants.get_all_grants("alice")
    await store.grants.remove_family(redemption.family)
    assert await store.grants.remove_all_grants("alice") > 0


async def one_time_records(scene: Scene, store: Any) -> None:
    """Device codes, pushed parameters, backchannel requests, messages, what was seen once."""
    device, user = scene.secret("device-code-4714"), scene.secret("USER-CODE-4715")
    await store.device_flow.store_device_authorization(device, user, a_device_code(description=SENTINEL))
    await scene.refused(store.device_flow.store_device_authorization(device, user, a_device_code()))
    await store.device_flow.update_by_user_code(user, an_answered_device_code(subject=principal()))
    await store.device_flow.register_poll(device, GRACE)
    await store.device_flow.consume_by_device_code(device)
    await scene.refused(store.device_flow.update_by_user_code(user, an_answered_device_code()))
    await scene.refused(store.device_flow.store_device_authorization(device, user, SENTINEL))
    pushed = a_pushed_request(scene.secret("request-uri-4716"), parameters={"login_hint": [SENTINEL]})
    await store.pushed_authorization_requests.store(pushed)
    await scene.refused(store.pushed_authorization_requests.store(pushed))
    await store.pushed_authorization_requests.consume_by_hash("request-uri-4716")
    request = a_backchannel_request(subject=principal(), binding_message=SENTINEL)
    asked = scene.secret(await store.backchannel_authentication_requests.create_request(request))
    await store.backchannel_authentication_requests.get_by_authentication_request_id(asked)
    await scene.refused(store.backchannel_authentication_requests.update_by_internal_id(SENTINEL, request))
    message = scene.secret(await store.messages.write(Message({"error": SENTINEL})))
    assert (await store.messages.read(message)).data == {"error": SENTINEL}
    await scene.refused(store.messages.write(SENTINEL))
    seen = scene.secret("assertion-id-4717")
    for _ in range(2):
        await store.replay_cache.add("jti", seen, store.clock.now() + GRACE)
    await scene.refused(store.replay_cache.add("jti", seen, SENTINEL))


async def sessions(scene: Scene, store: Any) -> None:
    """Sessions and tickets, whose callback fails as well."""
    session = a_session(scene.secret("session-key-4718"), ticket=SENTINEL)
    await store.server_side_sessions.create_session(session)
    await scene.refused(store.server_side_sessions.create_session(session))
    await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice"))
    page = await store.server_side_sessions.query_sessions(SessionQuery(subject_id="alice"))
    for token in filter(None, (page.results_token, SENTINEL)):
        await store.server_side_sessions.query_sessions(SessionQuery(results_token=token))
    key = scene.secret(await store.tickets.store(a_ticket(items={"access_token": SENTINEL})))
    await store.tickets.retrieve(key, slide=True)
    await store.tickets.retrieve("session-key-4718")
    await scene.refused(store.tickets.store(SENTINEL))

    async def failing(_: Any) -> None:
        raise RuntimeError("the clients can't be reached")

    await store.sessions.end(RemoveSessionsContext(subject_id="alice"), on_logout=failing)


async def keys(scene: Scene, store: Any) -> None:
    """Both kinds of keys: made, rotated, destroyed."""
    await store.signing.get_signing_credentials()
    await store.signing.rotate()
    for key in await store.signing_keys.load_keys():
        private = scene.secret(key.data)
        await scene.refused(store.signing_keys.store_key(key))
        await scene.refused(store.signing_keys.store_key(private))
    await store.persisted_grants.store(a_grant(data=SENTINEL))
    await store.key_ring.rotate()
    await store.key_ring.destroy("default")
    if isinstance(store, MongoStore):
        await scene.refused(store.persisted_grants.store(a_grant(data=SENTINEL)))


@pytest.mark.parametrize("backend", [memory, mongo])
async def test_no_secret_is_told(backend, scene, mongo_uri, prepared_database):
    """Every store in use and in error: handles, payloads, client, provider and signing secrets stay inside."""
    async with backend(scene, mongo_uri, prepared_database) as store:
        for chapter in (configuration, grants, one_time_records, sessions, keys):
            await chapter(scene, store)
    assert scene.found() == []
    # It was heard and seen at all.
    assert len(scene.spans.get_finished_spans()) > 60
    assert len(scene.errors) > 60
    assert {event.kind for event in scene.events} >= {"revoked", "replayed", "key_rotated", "tenant_destroyed"}
    assert any("The clients of a session could not be told" in line for line in scene.records.lines)


async def test_no_secret_is_told_of_damage(scene, mongo_uri, prepared_database, mongo_connection):
    """Payloads that are moved, cut or replaced are reported by their place, not by what they are."""
    async with mongo(scene, mongo_uri, prepared_database) as store:
        handles = [
            scene.secret(await store.refresh_tokens.store_refresh_token(a_refresh_token(subject=principal())))
            for _ in range(3)
        ]
        key = scene.secret("session-key-4719")
        await store.server_side_sessions.create_session(a_session(key, ticket=SENTINEL))
        await store.identity_providers.save_identity_provider(
            OidcProvider(scheme="acme", authority="https://acme.example", client_id="c", client_secret=SENTINEL)
        )
        store.caches.clear()
        raw = mongo_connection[prepared_database]
        for name in raw.list_collection_names():
            raw.command("collMod", name, validator={}, validationLevel="off")
        raw["grants"].update_one({}, {"$set": {"payload": SENTINEL.encode()}})
        raw["sessions"].update_many({}, {"$set": {"payload": SENTINEL}})
        raw["identity_providers"].update_many({}, {"$set": {"payload": {"clear": SENTINEL}}})
        raw["clients"].insert_one({"_id": "default|web", "tenant": "default", "client_secrets": SENTINEL})
        assert len(await store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice"))) == 2
        raw["grants"].update_many({}, {"$set": {"payload": SENTINEL.encode() * 10}})
        for handle in handles:
            await scene.refused(store.refresh_tokens.get_refresh_token(handle), MongostoreError)
        await scene.refused(store.grants.get_all_grants("alice"), MongostoreError)
        await scene.refused(store.server_side_sessions.get_session(key), MongostoreError)
        await scene.refused(store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice")), MongostoreError)
        await scene.refused(store.identity_providers.get_by_scheme("acme"), MongostoreError)
        await scene.refused(store.clients.find_client_by_id("web"), MongostoreError)
    assert scene.found() == []
    assert any("can't be read" in line for line in scene.records.lines)


async def test_no_secret_is_told_by_the_set_up(scene, mongo_uri, prepared_database):
    """Wrong master keys, wrong URIs, wrong passwords, servers that are not there."""
    async with mongo(scene, mongo_uri, prepared_database) as store:
        await store.persisted_grants.store(a_grant(data=SENTINEL))
    wrong = LocalMasterKey.from_text(scene.secret(LocalMasterKey.generate().export()))
    chain = MasterKeyChain(wrong, LocalMasterKey.from_text(scene.secret(LocalMasterKey.generate().export())))
    options = scene.options(operation_timeout=SHORT, server_selection_timeout=SHORT)

    def store_at(uri: str, master_key: Any = wrong) -> MongoStore:
        made = MongoStore(uri, database=prepared_database, master_key=master_key, options=options)
        scene.errors.append(repr(made) + repr(vars(made)))
        return made

    host = mongo_uri.partition("//")[2]
    for master_key in (wrong, chain):
        await scene.refused(store_at(mongo_uri, master_key).open())
    for uri in (
        f"mongodb://user:{PASSWORD}@{host}",
        f"mongodb://user:{PASSWORD}@127.0.0.1:1/?replicaSet=rs0",
        f"mongodb://user:{PASSWORD}:@127.0.0.1:1/",
        f"mongodb://user:{PASSWORD}/@127.0.0.1:1/",
        f"mongodb://user:x@{PASSWORD}@127.0.0.1:1/",
        f"mongodb://user:x?{PASSWORD}@127.0.0.1:1/",
        f"mongodb+srv://user:{PASSWORD}@127.0.0.1:1/",
    ):
        await scene.refused(store_at(uri).open())
    with warnings.catch_warnings():
        # The driver's monitor drops a socket when its client is closed while it connects, as after a refused password.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    closed = store_at(mongo_uri)
    await scene.refused(closed.persisted_grants.store(a_grant(data=SENTINEL)))
    await scene.refused(asyncio.to_thread(LocalMasterKey.from_text, f"{wrong.export()}x"))
    await scene.refused(asyncio.to_thread(StoreOptions.from_env, environ={"MONGOSTORE_TELEMETRY": PASSWORD}))
    assert scene.found() == []


def test_a_secret_would_be_found(scene):
    """The search finds what it is to find: in a message, in an argument of one, in a trace, in a span."""
    log = logging.getLogger("mongostore")
    log.debug("a payload is %s", SENTINEL)
    log.info("a payload is %s", SENTINEL.encode())
    log.error("it failed", exc_info=RuntimeError(SENTINEL))
    logging.getLogger("pymongo.command").error(SENTINEL)
    scene.telemetry.operation("clients.save_client", {"wrong": SENTINEL}).end()
    scene.telemetry.count_event(SENTINEL)
    scene.events.append(SENTINEL)
    scene.errors.append(SENTINEL.encode().hex())
    assert [place.partition(" ")[0] for place in scene.found()] == [
        "mongostore", "mongostore", "mongostore", "span", "metrics", "error", "event",
    ]  # fmt: skip
