"""Walls between tenants, in both placements: by every public method, found by reflection."""

import inspect
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from mongostore import (
    ConfigurationError,
    DatabasePerTenant,
    LocalMasterKey,
    MemoryStore,
    MongoStore,
    NotFound,
    SharedDatabase,
    StoreOptions,
)
from mongostore.assembly.stores import Stores
from mongostore.models import (
    ApiResource,
    ApiScope,
    AuthenticationTicket,
    BackChannelAuthenticationRequest,
    DeviceCode,
    IdentityResource,
    Message,
    OidcProvider,
    PersistedGrantFilter,
    PushedAuthorizationRequest,
    RemoveSessionsContext,
    SerializedKey,
    ServerSideSession,
    SessionFilter,
    SessionQuery,
)
from mongostore.protection.reencrypt import ReencryptionCounts, ReencryptionResult
from mongostore.schema import apply_schema
from mongostore.testing import FakeClock
from mongostore.testing.factories import (
    a_client,
    a_consent,
    a_grant,
    a_principal,
    a_reference_token,
    a_refresh_token,
    an_authorization_code,
)

MASTER_KEY = LocalMasterKey.generate()
HOUR = timedelta(hours=1)


@asynccontextmanager
async def a_store(uri: str, database: str, placement=SharedDatabase(), **arguments) -> AsyncIterator[MongoStore]:  # noqa: B008 - frozen
    """A store on a database whose main schema was not applied."""
    options = StoreOptions(tenancy=placement, operation_timeout=timedelta(seconds=30))
    store = MongoStore(uri, database=database, master_key=MASTER_KEY, clock=FakeClock(), options=options, **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        await store.open()
    try:
        yield store
    finally:
        await store.close()


ALICE = PersistedGrantFilter(subject_id="alice")


@pytest.fixture(params=["shared", "per tenant", "memory"])
async def deployment(
    request: pytest.FixtureRequest, mongo_uri: str, database_name: str
) -> AsyncIterator[MongoStore | MemoryStore]:
    if request.param == "memory":
        async with MemoryStore(clock=FakeClock()) as store:
            yield store
        return
    placement = (
        SharedDatabase() if request.param == "shared" else DatabasePerTenant(pattern=f"{database_name}_{{tenant}}")
    )
    async with a_store(mongo_uri, database_name, placement) as store:
        for binding in store._databases.all([]):
            await apply_schema(binding)
        yield store


class Belongings:
    """What one tenant stores, under names and handles that another one tries as well."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.handles: dict[str, str] = {}

    async def fill(self) -> None:
        s, now = self.stores, self.stores.clock.now()
        await s.clients.save_client(a_client(allowed_cors_origins=["https://app.example.com"]))
        await s.resources.save_identity_resource(IdentityResource(name="openid", user_claims=["sub"]))
        await s.resources.save_api_scope(ApiScope(name="orders.read"))
        await s.resources.save_api_resource(ApiResource(name="orders", scopes=["orders.read"]))
        await s.identity_providers.save_identity_provider(
            OidcProvider(scheme="acme", authority="https://acme.example.com", client_id="us", client_secret="s")
        )
        await s.persisted_grants.store(a_grant("k"))
        self.handles["code"] = await s.authorization_codes.store_authorization_code(an_authorization_code())
        self.handles["refresh"] = await s.refresh_tokens.store_refresh_token(a_refresh_token(), family="f")
        self.handles["reference"] = await s.reference_tokens.store_reference_token(a_reference_token(), family="f")
        await s.user_consents.store_user_consent(a_consent())
        await s.device_flow.store_device_authorization(
            "device", "USER", DeviceCode(creation_time=now, lifetime=3_600, client_id="web", is_authorized=True)
        )
        await s.pushed_authorization_requests.store(
            PushedAuthorizationRequest(reference_value_hash="h", expires_at_utc=now + HOUR, parameters={"a": ["b"]})
        )
        request = BackChannelAuthenticationRequest(
            creation_time=now, lifetime=3_600, client_id="web", subject=a_principal(), is_complete=True
        )
        self.handles["ciba"] = await s.backchannel_authentication_requests.create_request(request)
        stored = await s.backchannel_authentication_requests.get_by_authentication_request_id(self.handles["ciba"])
        self.handles["internal"] = stored.internal_id
        self.handles["message"] = await s.messages.write(Message(data="m"))
        self.handles["consent message"] = await s.consent_messages.write(Message(data="m"))
        assert await s.replay_cache.add("jti", "1", now + HOUR)
        await s.server_side_sessions.create_session(
            ServerSideSession(
                key="session",
                scheme="cookie",
                subject_id="alice",
                session_id="s1",
                display_name="Alice",
                created=now,
                renewed=now,
                expires=now + HOUR,
                ticket="t",
            )
        )
        self.handles["ticket"] = await s.tickets.store(AuthenticationTicket(scheme="cookie", principal=a_principal()))
        await s.signing_keys.store_key(
            SerializedKey(
                id="kid", created=now, algorithm="ES256", data="key", is_x509_certificate=False, data_protected=True
            )
        )

    async def snapshot(self) -> dict[str, Any]:
        """All that its owner sees, by reading methods only."""
        s, h = self.stores, self.handles
        return {
            "clients": [client async for client in s.clients.get_all_clients()],
            "resources": await s.resources.get_all_resources(),
            "cors": await s.cors_policy.is_origin_allowed("https://app.example.com"),
            "schemes": await s.identity_providers.get_all_scheme_names(),
            "provider": await s.identity_providers.get_by_scheme("acme"),
            "grants": sorted([g.key for g in await s.persisted_grants.get_all(ALICE)]),
            "code": await s.authorization_codes.get_authorization_code(h["code"]),
            "refresh": await s.refresh_tokens.get_refresh_token(h["refresh"]),
            "reference": await s.reference_tokens.get_reference_token(h["reference"]),
            "consent": await s.user_consents.get_user_consent("alice", "web"),
            "device": await s.device_flow.find_by_device_code("device"),
            "user code": await s.device_flow.find_by_user_code("USER"),
            "par": await s.pushed_authorization_requests.get_by_hash("h"),
            "ciba": await s.backchannel_authentication_requests.get_by_authentication_request_id(h["ciba"]),
            "message": await s.messages.read(h["message"]),
            "consent message": await s.consent_messages.read(h["consent message"]),
            "replay": await s.replay_cache.exists("jti", "1"),
            "session": await s.server_side_sessions.get_session("session"),
            "signing keys": [key.id for key in await s.signing_keys.load_keys()],
        }


def intrusions(me: Stores, h: dict[str, str]) -> dict[str, Any]:
    """One call of every public method, with everything that the other tenant has; what must come of it: nothing."""
    now = me.clock.now()
    successor = a_refresh_token()
    device = DeviceCode(creation_time=now, lifetime=60, client_id="web")
    ciba = BackChannelAuthenticationRequest(creation_time=now, lifetime=60, client_id="web", subject=a_principal())
    session = ServerSideSession(
        key="session", scheme="c", subject_id="alice", session_id="s1", created=now, renewed=now, ticket="mine"
    )
    coordinated = a_client(coordinate_lifetime_with_user_session=True)
    context = RemoveSessionsContext(subject_id="alice")

    async def nobody(_session: Any) -> None:
        raise AssertionError("another tenant's session was processed")

    return {
        "clients.find_client_by_id": lambda: me.clients.find_client_by_id("web"),
        "clients.find_enabled_client_by_id": lambda: me.clients.find_enabled_client_by_id("web"),
        "clients.get_all_clients": me.clients.get_all_clients,
        "clients.get_client_revision": lambda: me.clients.get_client_revision("web"),
        "clients.delete_client": lambda: me.clients.delete_client("web"),
        "clients.save_client": None,
        "resources.find_identity_resources_by_scope_name": lambda: me.resources.find_identity_resources_by_scope_name(
            ["openid"]
        ),
        "resources.find_api_scopes_by_name": lambda: me.resources.find_api_scopes_by_name(["orders.read"]),
        "resources.find_api_resources_by_scope_name": lambda: me.resources.find_api_resources_by_scope_name(
            ["orders.read"]
        ),
        "resources.find_api_resources_by_name": lambda: me.resources.find_api_resources_by_name(["orders"]),
        "resources.get_all_resources": me.resources.get_all_resources,
        "resources.find_resources_by_scope": lambda: me.resources.find_resources_by_scope(["openid", "orders.read"]),
        "resources.find_enabled_resources_by_scope": lambda: me.resources.find_enabled_resources_by_scope(["openid"]),
        "resources.delete_identity_resource": lambda: me.resources.delete_identity_resource("openid"),
        "resources.delete_api_scope": lambda: me.resources.delete_api_scope("orders.read"),
        "resources.delete_api_resource": lambda: me.resources.delete_api_resource("orders"),
        "resources.save_identity_resource": None,
        "resources.save_api_scope": None,
        "resources.save_api_resource": None,
        "cors_policy.is_origin_allowed": lambda: me.cors_policy.is_origin_allowed("https://app.example.com"),
        "identity_providers.get_all_scheme_names": me.identity_providers.get_all_scheme_names,
        "identity_providers.get_by_scheme": lambda: me.identity_providers.get_by_scheme("acme"),
        "identity_providers.delete_identity_provider": lambda: me.identity_providers.delete_identity_provider("acme"),
        "identity_providers.save_identity_provider": None,
        "persisted_grants.get": lambda: me.persisted_grants.get("k"),
        "persisted_grants.get_all": lambda: me.persisted_grants.get_all(ALICE),
        "persisted_grants.consume": lambda: me.persisted_grants.consume("k"),
        "persisted_grants.remove": lambda: me.persisted_grants.remove("k"),
        "persisted_grants.remove_all": lambda: me.persisted_grants.remove_all(ALICE),
        "persisted_grants.store": None,
        "authorization_codes.get_authorization_code": lambda: me.authorization_codes.get_authorization_code(h["code"]),
        "authorization_codes.redeem_authorization_code": lambda: me.authorization_codes.redeem_authorization_code(
            h["code"]
        ),
        "authorization_codes.remove_authorization_code": lambda: me.authorization_codes.remove_authorization_code(
            h["code"]
        ),
        "authorization_codes.store_authorization_code": None,
        "refresh_tokens.get_refresh_token": lambda: me.refresh_tokens.get_refresh_token(h["refresh"]),
        "refresh_tokens.rotate_refresh_token": lambda: me.refresh_tokens.rotate_refresh_token(h["refresh"], successor),
        "refresh_tokens.update_refresh_token": lambda: me.refresh_tokens.update_refresh_token(h["refresh"], successor),
        "refresh_tokens.remove_refresh_token": lambda: me.refresh_tokens.remove_refresh_token(h["refresh"]),
        "refresh_tokens.remove_refresh_tokens": lambda: me.refresh_tokens.remove_refresh_tokens("alice", "web"),
        "refresh_tokens.store_refresh_token": None,
        "reference_tokens.get_reference_token": lambda: me.reference_tokens.get_reference_token(h["reference"]),
        "reference_tokens.remove_reference_token": lambda: me.reference_tokens.remove_reference_token(h["reference"]),
        "reference_tokens.remove_reference_tokens": lambda: me.reference_tokens.remove_reference_tokens("alice", "web"),
        "reference_tokens.store_reference_token": None,
        "user_consents.get_user_consent": lambda: me.user_consents.get_user_consent("alice", "web"),
        "user_consents.remove_user_consent": lambda: me.user_consents.remove_user_consent("alice", "web"),
        "user_consents.store_user_consent": None,
        "grants.get_all_grants": lambda: me.grants.get_all_grants("alice"),
        "grants.remove_all_grants": lambda: me.grants.remove_all_grants("alice"),
        "grants.remove_family": lambda: me.grants.remove_family("f"),
        "device_flow.find_by_user_code": lambda: me.device_flow.find_by_user_code("USER"),
        "device_flow.find_by_device_code": lambda: me.device_flow.find_by_device_code("device"),
        "device_flow.update_by_user_code": lambda: me.device_flow.update_by_user_code("USER", device),
        "device_flow.remove_by_device_code": lambda: me.device_flow.remove_by_device_code("device"),
        "device_flow.consume_by_device_code": lambda: me.device_flow.consume_by_device_code("device"),
        "device_flow.register_poll": None,
        "device_flow.store_device_authorization": None,
        "pushed_authorization_requests.get_by_hash": lambda: me.pushed_authorization_requests.get_by_hash("h"),
        "pushed_authorization_requests.consume_by_hash": lambda: me.pushed_authorization_requests.consume_by_hash("h"),
        "pushed_authorization_requests.store": None,
        "backchannel_authentication_requests.get_by_authentication_request_id": lambda: (
            me.backchannel_authentication_requests.get_by_authentication_request_id(h["ciba"])
        ),
        "backchannel_authentication_requests.get_by_internal_id": lambda: (
            me.backchannel_authentication_requests.get_by_internal_id(h["internal"])
        ),
        "backchannel_authentication_requests.get_logins_for_user": lambda: (
            me.backchannel_authentication_requests.get_logins_for_user("alice")
        ),
        "backchannel_authentication_requests.update_by_internal_id": lambda: (
            me.backchannel_authentication_requests.update_by_internal_id(h["internal"], ciba)
        ),
        "backchannel_authentication_requests.remove_by_internal_id": lambda: (
            me.backchannel_authentication_requests.remove_by_internal_id(h["internal"])
        ),
        "backchannel_authentication_requests.consume_by_internal_id": lambda: (
            me.backchannel_authentication_requests.consume_by_internal_id(h["internal"])
        ),
        "backchannel_authentication_requests.create_request": None,
        "messages.read": lambda: me.messages.read(h["message"]),
        "messages.delete": lambda: me.messages.delete(h["message"]),
        "messages.write": None,
        "consent_messages.read": lambda: me.consent_messages.read(h["consent message"]),
        "consent_messages.delete": lambda: me.consent_messages.delete(h["consent message"]),
        "consent_messages.write": None,
        "replay_cache.exists": lambda: me.replay_cache.exists("jti", "1"),
        "replay_cache.add": None,
        "server_side_sessions.get_session": lambda: me.server_side_sessions.get_session("session"),
        "server_side_sessions.update_session": lambda: me.server_side_sessions.update_session(session),
        "server_side_sessions.delete_session": lambda: me.server_side_sessions.delete_session("session"),
        "server_side_sessions.get_sessions": lambda: me.server_side_sessions.get_sessions(
            SessionFilter(subject_id="alice")
        ),
        "server_side_sessions.delete_sessions": lambda: me.server_side_sessions.delete_sessions(
            SessionFilter(subject_id="alice")
        ),
        "server_side_sessions.get_and_remove_expired_sessions": lambda: (
            me.server_side_sessions.get_and_remove_expired_sessions(10)
        ),
        "server_side_sessions.claim_expired_sessions": lambda: me.server_side_sessions.claim_expired_sessions(10, HOUR),
        "server_side_sessions.acknowledge_expired_sessions": lambda: (
            me.server_side_sessions.acknowledge_expired_sessions(["session"])
        ),
        "server_side_sessions.query_sessions": lambda: me.server_side_sessions.query_sessions(SessionQuery()),
        "server_side_sessions.create_session": None,
        "server_side_sessions.slide_session": lambda: me.server_side_sessions.slide_session("session"),
        "server_side_sessions.slide_sessions": lambda: me.server_side_sessions.slide_sessions(
            SessionFilter(subject_id="alice")
        ),
        "sessions.validate_session": lambda: me.sessions.validate_session("alice", "s1", coordinated),
        "sessions.process_logout": lambda: me.sessions.process_logout(session),
        "sessions.query": lambda: me.sessions.query(SessionQuery()),
        "sessions.end": lambda: me.sessions.end(context),
        "sessions.process_expired": lambda: me.sessions.process_expired(nobody),
        "sessions.run": None,
        "tickets.retrieve": lambda: me.tickets.retrieve(h["ticket"]),
        "tickets.remove": lambda: me.tickets.remove(h["ticket"]),
        "tickets.renew": None,
        "tickets.store": None,
        "signing_keys.load_keys": me.signing_keys.load_keys,
        "signing_keys.delete_key": lambda: me.signing_keys.delete_key("kid"),
        "signing_keys.store_key": None,
        "signing.get_signing_credentials": None,
        "signing.get_validation_keys": None,
        "signing.jwks": None,
        "signing.rotate": None,
        "key_ring.status": None,
        "key_ring.rotate": None,
        "key_ring.rewrap": None,
        "key_ring.reencrypt": me.key_ring.reencrypt,
        "key_ring.destroy": None,
    }


# What the other tenant makes of its own, under the same names, must not touch what is there: done in `fill`.
EMPTY = (None, False, 0, [], "unknown")


def is_nothing(result: Any) -> bool:
    """Whether a method said that there was nothing to see, change or count."""
    result = getattr(result, "outcome", result)
    if hasattr(result, "results"):
        return result.results == [] and not result.total_count
    if hasattr(result, "api_resources"):
        return not (result.api_resources or result.api_scopes or result.identity_resources)
    if isinstance(result, ReencryptionResult):
        return result.total == ReencryptionCounts()
    return result in EMPTY or result == ()


async def test_a_tenant_neither_sees_nor_changes_nor_counts_what_another_has(deployment):
    """With every key, handle and name of tenant A in hand, no public method of tenant B finds or touches any of it."""
    owner, intruder = deployment.for_tenant("a"), deployment.for_tenant("b")
    belongings = Belongings(owner)
    await belongings.fill()
    before = await belongings.snapshot()
    for name, call in intrusions(intruder, belongings.handles).items():
        if call is None:
            continue
        try:
            result = call()
            result = [each async for each in result] if inspect.isasyncgen(result) else await result
        except NotFound:
            continue
        assert is_nothing(result), f"{name} gave tenant b {result!r}"
    await Belongings(intruder).fill()
    for name in ("persisted_grants.remove_all", "grants.remove_family", "sessions.end", "clients.delete_client"):
        await intrusions(intruder, belongings.handles)[name]()
    assert await belongings.snapshot() == before


async def test_every_public_method_is_tried(deployment):
    """A method that is added without a line in `intrusions` fails here."""
    tried = set(intrusions(deployment.for_tenant("a"), defaultdict(str)))
    public = set()
    for attribute, store in vars(MemoryStore(options=StoreOptions(telemetry=False))).items():
        if attribute.startswith("_") or attribute in ("clock", "caches", "tenants"):
            continue
        public |= {
            f"{attribute}.{name}"
            for name, _ in inspect.getmembers(type(store), inspect.isfunction)
            if not name.startswith("_")
        }
    # Beside the public protocol, the manager of signing keys works on methods of its own.
    assert len(public) > 80
    assert {name for name in public - tried if not name.startswith("signing_keys.")} == set()


async def test_reading_for_a_tenant_brings_nothing_into_being(deployment):
    """A stranger's host name, asked for a thousand times, leaves no trace."""
    stranger = deployment.for_tenant("stranger")
    assert await stranger.clients.find_client_by_id("web") is None
    assert await stranger.persisted_grants.get("k") is None
    assert await stranger.persisted_grants.remove("k") is False
    assert (await stranger.refresh_tokens.rotate_refresh_token("h", a_refresh_token())).outcome == "unknown"
    assert await deployment.tenants.list() == []
    await stranger.clients.save_client(a_client())
    assert await deployment.tenants.list() == ["stranger"]


async def test_deleting_a_tenant_removes_its_data_and_nothing_else(deployment):
    """What the tenant had is gone, what others have stays, and doing it again does no harm."""
    gone, stays, default = deployment.for_tenant("gone"), deployment.for_tenant("gone-not"), deployment
    for stores in (gone, stays, default):
        await stores.clients.save_client(a_client())
        await stores.persisted_grants.store(a_grant("k"))
    await deployment.tenants.delete("gone")
    await deployment.tenants.delete("gone")
    gone = deployment.for_tenant("gone")
    assert await gone.clients.find_client_by_id("web") is None
    assert await gone.persisted_grants.get("k") is None
    for stores in (stays, default):
        assert await stores.clients.find_client_by_id("web") is not None
        assert await stores.persisted_grants.get("k") is not None
    assert await deployment.tenants.list() == ["gone-not"]


async def test_the_default_tenant_is_not_deleted(deployment):
    """A deployment without tenants lives there."""
    with pytest.raises(ValueError, match="default"):
        await deployment.tenants.delete("default")


@pytest.mark.parametrize("slug", ["", "A", "a|b", "-a", "a" * 64, "a_b", "ä", "a\n"])
async def test_a_malformed_slug_is_refused(deployment, slug):
    """What is no slug names nobody."""
    with pytest.raises(ValueError, match="tenant"):
        deployment.for_tenant(slug)
    with pytest.raises(ValueError, match="tenant"):
        await deployment.tenants.create(slug)


async def test_offboarding_from_a_shared_database_shows_progress(mongo_uri, database_name):
    """The caller is told how far each collection is, in batches."""
    async with a_store(mongo_uri, database_name) as store:
        acme = store.for_tenant("acme")
        for number in range(3):
            await acme.persisted_grants.store(a_grant(str(number)))
        told: list[tuple[str, int]] = []
        removed = await store.tenants.delete("acme", on_progress=lambda *progress: told.append(progress))
        assert ("grants", 3) in told
        assert removed == sum(count for _, count in told)


async def test_only_registered_tenants_write_where_that_is_wanted(mongo_uri, database_name):
    """A tenant that nobody created can't write, and becomes able to once it is created."""
    async with a_store(mongo_uri, database_name, SharedDatabase(tenants="registered")) as store:
        acme = store.for_tenant("acme")
        for write in (
            lambda: acme.clients.save_client(a_client()),
            lambda: acme.persisted_grants.store(a_grant()),
            lambda: acme.authorization_codes.store_authorization_code(an_authorization_code()),
            acme.key_ring.rotate,
            acme.signing.rotate,
        ):
            with pytest.raises(NotFound, match="acme"):
                await write()
        assert await store.tenants.create("acme") is True
        assert await store.tenants.create("acme") is False
        await acme.clients.save_client(a_client())
        await store.clients.save_client(a_client())


async def test_a_tenants_database_has_the_schema_from_its_first_write(
    mongo_uri, mongo_connection: MongoClient, database_name
):
    """Opening a tenant takes no index work; bringing it into being applies the schema to its own database."""
    placement = DatabasePerTenant(pattern=f"{database_name}_{{tenant}}")
    async with a_store(mongo_uri, database_name, placement) as store:
        acme = store.for_tenant("acme")
        await acme.persisted_grants.get("k")
        assert f"{database_name}_acme" not in mongo_connection.list_database_names()
        await acme.persisted_grants.store(a_grant())
        assert "by_subject" in mongo_connection[f"{database_name}_acme"]["grants"].index_information()
        assert "grants" not in mongo_connection[database_name].list_collection_names()
        assert mongo_connection[database_name]["data_keys"].count_documents({"tenant": "acme"}) == 1


async def test_a_database_name_that_is_too_long_is_refused(mongo_uri, database_name):
    """MongoDB's 63 bytes hold before anything is written."""
    placement = DatabasePerTenant(pattern="x" * 40 + "{tenant}")
    async with a_store(mongo_uri, database_name, placement) as store:
        store.for_tenant("a" * 23)
        with pytest.raises(ValueError, match="63"):
            store.for_tenant("a" * 24)
        with pytest.raises(ValueError, match="63"):
            await store.tenants.create("a" * 24)
        assert await store.tenants.list() == []


@pytest.mark.parametrize("pattern", ["identity", "{tenant}{tenant}", "a/{tenant}", "{tenant}{x}", ""])
def test_a_pattern_that_two_tenants_would_share_is_refused(pattern):
    """A pattern names the tenant exactly once."""
    with pytest.raises(ValueError):
        DatabasePerTenant(pattern=pattern)


async def test_configuration_and_key_ring_in_databases_of_their_own(
    mongo_uri, mongo_connection: MongoClient, database_name
):
    """Each half lies where it was put, and everything works as before."""
    names = {"configuration_database": f"{database_name}_c", "key_ring_database": f"{database_name}_k"}
    async with a_store(mongo_uri, database_name, **names) as store:
        await store.clients.save_client(a_client())
        await store.persisted_grants.store(a_grant("k"))
        assert await store.persisted_grants.get("k") is not None
    assert mongo_connection[names["configuration_database"]]["clients"].count_documents({}) == 1
    assert mongo_connection[names["key_ring_database"]]["data_keys"].count_documents({}) == 1
    assert mongo_connection[database_name].list_collection_names() == ["grants"]


async def test_a_replaced_store_is_used_and_needs_to_know_tenants(mongo_uri, database_name):
    """The user's own client store serves; for another tenant it must be made for that tenant."""
    mine = MemoryStore().clients
    await mine.save_client(a_client("mine"))
    async with a_store(mongo_uri, database_name, clients=mine) as store:
        assert await store.clients.find_client_by_id("mine") is not None
        with pytest.raises(ConfigurationError, match="clients"):
            store.for_tenant("acme")
    made: list[str] = []

    def clients_of(tenant):
        made.append(tenant)
        return MemoryStore().clients

    async with a_store(mongo_uri, database_name, clients=clients_of) as store:
        assert await store.for_tenant("acme").clients.find_client_by_id("mine") is None
        assert made == ["default", "acme"]


def test_half_a_replacement_is_refused(mongo_uri):
    """Persisted grants and grant records are two views of the same grants."""
    with pytest.raises(ConfigurationError, match="grant_records"):
        MongoStore(mongo_uri, database="d", master_key=MASTER_KEY, persisted_grants=MemoryStore().persisted_grants)
    with pytest.raises(TypeError, match="client_store"):
        MongoStore(mongo_uri, database="d", master_key=MASTER_KEY, client_store=MemoryStore().clients)
