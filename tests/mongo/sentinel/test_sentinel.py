"""A secret that is put into everything a store can be given is found nowhere in the database."""

import base64
import json
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from enum import Enum
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from mongostore.grants.handles import grant_key
from mongostore.models import (
    ApiResource,
    ApiScope,
    AuthenticationTicket,
    Claim,
    IdentityProvider,
    IdentityResource,
    Message,
    OidcProvider,
    Principal,
    Secret,
    SessionFilter,
    SessionQuery,
)
from mongostore.mongo.documents import DOCUMENTS
from mongostore.mongo.documents.tenants import TenantDatabaseFields
from mongostore.protection.wrapped_keys import unwrap
from mongostore.signing.options import SigningOptions
from mongostore.stores import LogoutState, Retry
from mongostore.testing.factories import (
    a_backchannel_request,
    a_client,
    a_consent,
    a_device_code,
    a_grant,
    a_private_jwk,
    a_pushed_request,
    a_reference_token,
    a_refresh_token,
    a_serialized_key,
    a_session,
    an_authorization_code,
)

SENTINEL = "sentinel-Ü-4711-secret"
DEVICE_CODE, USER_CODE, PURPOSE, SEEN = "device-code-4712", "USER-CODE-4713", "purpose-4714", "seen-once-4715"
GRACE, HOUR = timedelta(seconds=30), timedelta(hours=1)
RSA, EC = "RS256", "ES256"

# Clear by design, and so never holding the sentinel here, besides `_id` and `tenant` of every record:
CLEAR: dict[str, set[str]] = {
    # Who is allowed what by which right: grants are listed, counted and revoked by it. `_id` and the keys of predecessor
    # and successor are hashes of handles; the family is drawn at random.
    "grants": {
        *("type", "client_id", "subject_id", "session_id", "description", "creation_time", "expiration"),
        *("consumed_time", "purge_at", "family", "pending", "predecessor", "completed"),
        *("anchor", "successor_key", "successor_expiration", "retries"),
    },
    # What a device may do next, and what its request is revoked by. `_id` is the hash of the device code, `user_code` a
    # keyed hash.
    "device_codes": {
        *("user_code", "is_authorized", "last_poll", "consumed_time", "purge_at", "creation_time", "expiration"),
        *("client_id", "subject_id", "session_id"),
    },
    # `_id` is the hash of the reference.
    "pushed_authorization_requests": {
        *("consumed_time", "purge_at", "expiration", "client_id", "subject_id", "session_id"),
    },
    # `_id` is the hash of the message's id.
    "messages": {"purge_at"},
    # `_id` is the hash of purpose and handle.
    "replay_cache": {"purge_at"},
    # What sessions are listed and ended by. `_id` and `superseded` are hashes of the key.
    "sessions": {
        *("scheme", "subject_id", "session_id", "display_name", "folded_name", "created", "renewed", "expires"),
        *("begun", "ended", "due_at", "claim", "purge_at", "superseded"),
    },
    # What a key is published by, and retired.
    "signing_keys": {"key_id", "algorithm", "created", "supersedes", "stored", "purge_at"},
    # What a login page shows.
    "identity_providers": {"type", "scheme", "display_name", "enabled", "revision"},
    # The data keys themselves are wrapped by the master key.
    "data_keys": {
        *("generation", "purpose", "key_id", "wrapped", "master_key_id", "created", "activates_at", "destroyed_at"),
        *("opens_only", "context_version"),
    },
    "leases": {"owner", "fence", "expires"},
    "revisions": {"value"},
    "tenant_database": {"main", "prefix", "created"},
    "tenants": {"created", "incarnation", "leaving_since"},
}
# Clear but for their secrets: clients, resources and scopes.
CONFIGURATION = {"clients", "api_resources", "scopes"}
# What is in clear under another name.
CLEAR_ELSEWHERE = {
    ("PersistedGrant", "key"),
    ("BackChannelAuthenticationRequest", "internal_id"),
    ("SerializedKey", "id"),
}

# In the place of a collection: within another model nothing is clear.
INSIDE = "inside"

# Methods that begin so are given nothing to store.
READING_OR_REMOVING = (
    *("get", "find_", "is_", "has_", "load_", "query", "read", "exists", "list", "status", "validate_", "jwks"),
    *(
        "remove",
        "delete",
        "retire",
        "destroy",
        "acknowledge_",
        "claim_",
        "revoke_",
        "process_",
        "end",
        "finish_",
        "run",
    ),
)


class Told:
    """Notes which fields of which models held the sentinel when they were given to a store."""

    def __init__(self) -> None:
        self.fields: set[tuple[str, str, str]] = set()
        self.with_sentinel: set[tuple[str, str, str]] = set()

    def __call__(self, label: str, model: Any) -> Any:
        """Give back a model that is going to be stored in a collection."""
        for name, field in type(model).model_fields.items():
            place = (label, type(model).__name__, name)
            if _can_hold_text(field.annotation):
                self.fields.add(place)
            if SENTINEL in model.model_dump_json(include={name}):
                self.with_sentinel.add(place)
            for part in _parts(getattr(model, name)):
                if isinstance(part, BaseModel):
                    self(INSIDE, part)
        return model

    def left_out(self) -> set[tuple[str, str, str]]:
        """The fields that could have held it, never did, and are not clear by design: collection, model, field."""
        return {
            (label, model, field)
            for label, model, field in self.fields - self.with_sentinel
            if field not in CLEAR.get(label, ()) and (model, field) not in CLEAR_ELSEWHERE
        }


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | frozenset) else [value]


def _can_hold_text(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _can_hold_text(get_args(annotation)[0])
    if get_args(annotation):
        return any(map(_can_hold_text, get_args(annotation)))
    # What is no type here is one of the values that a `Literal` allows.
    return isinstance(annotation, type) and not issubclass(annotation, bool | int | datetime | NoneType | Enum)


SUBJECT = Principal([Claim("sub", "alice"), Claim("sid", "s1"), Claim(*[SENTINEL] * 4)], SENTINEL)
TOKEN = {
    "audiences": [SENTINEL],
    "issuer": SENTINEL,
    "confirmation": SENTINEL,
    "type": SENTINEL,
    "allowed_signing_algorithms": [SENTINEL],
    "claims": [*SUBJECT.claims, Claim("scope", SENTINEL)],
    "properties": {SENTINEL: SENTINEL},
}


async def configuration(s: Any, told: Told) -> list[str | bytes]:
    """Secrets of clients and APIs are hashed or sealed, and so is what is said of identity providers."""
    symmetric = json.dumps({"kty": "oct", "k": SENTINEL})
    private = json.dumps({"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "d": SENTINEL})
    secrets = [Secret.sha256(SENTINEL), Secret.sha512(SENTINEL), Secret(type="api-key", value=SENTINEL)]
    secrets += [Secret(type="JWK", value=value) for value in (symmetric, private, f"no JSON {SENTINEL}")]
    client = a_client(client_secrets=secrets, pair_wise_subject_salt=SENTINEL)
    resource = ApiResource(name="orders", api_secrets=secrets)
    for _ in range(2):
        await s.clients.save_client(client)
        await s.resources.save_api_resource(resource)
    assert (await s.clients.find_client_by_id("web")).model_dump() == client.model_dump()
    assert (await s.resources.find_api_resources_by_name(["orders"]))[0].model_dump() == resource.model_dump()
    await s.resources.save_api_scope(ApiScope(name="orders.read"))
    await s.resources.save_identity_resource(IdentityResource(name="openid", user_claims=["sub"]))
    assert not await s.cors_policy.is_origin_allowed(f"https://{SENTINEL}.example")
    oidc = OidcProvider(scheme="oidc", authority=SENTINEL, client_id=SENTINEL, client_secret=SENTINEL, scope=SENTINEL)
    other = IdentityProvider(scheme="saml", type="saml", properties={SENTINEL: SENTINEL})
    for provider in (oidc, other, oidc):
        await s.identity_providers.save_identity_provider(told("identity_providers", provider))
    assert (await s.identity_providers.get_by_scheme("oidc")).client_secret == SENTINEL
    return []


async def grants(s: Any, told: Told) -> list[str | bytes]:
    """Data, claims, scopes, nonces, redirect URIs are sealed; handles are hashed, and sealed with a predecessor."""
    code = an_authorization_code(
        subject=SUBJECT,
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
    token = a_refresh_token(
        subject=SUBJECT,
        access_tokens={SENTINEL: a_reference_token(client_id=SENTINEL, description=SENTINEL, **TOKEN)},
        properties={SENTINEL: SENTINEL},
        authorized_scopes=[SENTINEL],
        authorized_resource_indicators=[SENTINEL],
    )
    for data in (SENTINEL, SENTINEL.encode()):
        await s.persisted_grants.store(told("grants", a_grant(data=data)))
    redeemed = await s.authorization_codes.store_authorization_code(told("grants", code))
    handles = [redeemed, await s.authorization_codes.store_authorization_code(code)]
    family = (await s.authorization_codes.redeem_authorization_code(redeemed)).family
    handles.append(await s.refresh_tokens.store_refresh_token(told("grants", token), family=family))
    rotation = await s.refresh_tokens.rotate_refresh_token(handles[-1], token, grace=GRACE)
    retry = await s.refresh_tokens.rotate_refresh_token(handles[-1], token, grace=GRACE)
    await s.refresh_tokens.update_refresh_token(rotation.handle, token)
    reference = told("grants", a_reference_token(**TOKEN))
    handles += [rotation.handle, await s.reference_tokens.store_reference_token(reference, family=family)]
    await s.user_consents.store_user_consent(
        told("grants", a_consent(scopes=[SENTINEL], properties={SENTINEL: SENTINEL}))
    )
    kept = a_grant(data=SENTINEL)
    await s.persisted_grants.store(kept)
    assert (await s.persisted_grants.consume(kept.key)).data == SENTINEL
    assert retry.handle == rotation.handle
    assert (await s.authorization_codes.get_authorization_code(handles[1])).nonce == SENTINEL
    assert SENTINEL in (await s.grants.get_all_grants("alice"))[0].scopes
    return handle_forms(*handles)


def handle_forms(*handles: str) -> list[str | bytes]:
    """Handles as they are given out, without their suffix, and as the random bytes that they are made of."""
    bare = [handle.removesuffix("-1") for handle in handles]
    return [*handles, *bare, *map(bytes.fromhex, bare)]


async def device_flow(s: Any, told: Told) -> list[str | bytes]:
    """All that is asked and answered is sealed; both codes are hashed."""
    code = a_device_code(properties={SENTINEL: SENTINEL}, description=SENTINEL, requested_scopes=[SENTINEL])
    answer = {"is_authorized": True, "authorized_scopes": [SENTINEL]}
    answered = code.model_copy(update={"subject": Principal([Claim(*[SENTINEL] * 4)], SENTINEL), **answer})
    await s.device_flow.store_device_authorization(DEVICE_CODE, USER_CODE, told("device_codes", code))
    await s.device_flow.update_by_user_code(USER_CODE, told("device_codes", answered))
    await s.device_flow.register_poll(DEVICE_CODE, GRACE)
    assert (await s.device_flow.find_by_user_code(USER_CODE)).subject_id is None
    assert await s.device_flow.consume_by_device_code(DEVICE_CODE) == answered
    return [DEVICE_CODE, USER_CODE]


async def one_time_records(s: Any, told: Told) -> list[str | bytes]:
    """Parameters and messages are sealed; references, purposes, ids and what was seen are hashed."""
    par = a_pushed_request(SENTINEL, parameters={"client_secret": [SENTINEL], SENTINEL: [SENTINEL]})
    await s.pushed_authorization_requests.store(told("pushed_authorization_requests", par))
    assert await s.pushed_authorization_requests.consume_by_hash(SENTINEL) == par
    message = told("messages", Message({SENTINEL: [SENTINEL]}))
    ids = [await s.messages.write(message), await s.consent_messages.write(message)]
    assert await s.messages.read(ids[0]) == await s.consent_messages.read(ids[1]) == message
    assert await s.replay_cache.add(PURPOSE, SEEN, s.clock.now() + HOUR)
    return [*ids, PURPOSE, SEEN]


async def backchannel_authentication_requests(s: Any, told: Told) -> list[str | bytes]:
    """What a client asks for and what the user allows is sealed, the binding message with it; `auth_req_id` is hashed."""
    request = a_backchannel_request(
        subject=SUBJECT,
        requested_scopes=[SENTINEL],
        requested_resource_indicators=[SENTINEL],
        authentication_context_reference_classes=[SENTINEL],
        tenant=SENTINEL,
        idp=SENTINEL,
        binding_message=SENTINEL,
        properties={SENTINEL: [SENTINEL]},
    )
    answered = request.model_copy(update={"is_complete": True, "authorized_scopes": [SENTINEL]})
    handle = await s.backchannel_authentication_requests.create_request(request)
    internal_id = grant_key(handle, "ciba")
    await s.backchannel_authentication_requests.update_by_internal_id(internal_id, told("grants", answered))
    taken = await s.backchannel_authentication_requests.consume_by_internal_id(internal_id)
    assert taken.binding_message == SENTINEL
    return handle_forms(handle)


async def sessions(s: Any, told: Told) -> list[str | bytes]:
    """Keys and tickets are sealed, wherever a session lies: in place, claimed, or laid aside for its successor."""
    key = f"key {SENTINEL}"
    session = told("sessions", a_session(key, ticket=SENTINEL, expires=s.clock.now() + HOUR))
    await s.server_side_sessions.create_session(session)
    await s.server_side_sessions.update_session(session)
    s.clock.advance(GRACE)
    assert (await s.server_side_sessions.slide_session(key)).ticket == SENTINEL
    assert await s.server_side_sessions.slide_sessions(SessionFilter(session_id="s1")) == 1
    s.clock.advance(2 * HOUR)
    await s.server_side_sessions.create_session(session.model_copy(update={"expires": None}))
    assert [each.key for each in await s.server_side_sessions.claim_expired_sessions(1, HOUR)] == [key]
    ticket = AuthenticationTicket(
        scheme="cookie", principal=SUBJECT, issuer=SENTINEL, client_ids=[SENTINEL], items={SENTINEL: SENTINEL}
    )
    ticket_key = await s.tickets.store(told("sessions", ticket))
    await s.tickets.renew(ticket_key, ticket)
    await s.tickets.add_client(ticket_key, f"another {SENTINEL}")
    await s.server_side_sessions.change_session(ticket_key, lambda session: session)
    assert (await s.tickets.retrieve(ticket_key)).items == {SENTINEL: SENTINEL}
    page = await s.sessions.query(SessionQuery(count_requested=1))
    # Who could not be told of a logout is noted beside the ticket.
    ended_key = await s.tickets.store(ticket)
    logout = await s.server_side_sessions.end_session(ended_key, lambda _: LogoutState(settled=[SENTINEL]), HOUR)
    retries = {SENTINEL: Retry(attempts=1, next_attempt=s.clock.now())}
    await s.server_side_sessions.keep_logout(
        logout, logout.state.model_copy(update={"retries": retries}), s.clock.now()
    )
    return [ticket_key, ended_key, bytes.fromhex(ticket_key), page.results_token]


async def signing_keys(s: Any, told: Told) -> list[str | bytes]:
    """Private keys are sealed as a whole: no private number, no JWK, no PEM, no line of one."""
    secrets: list[str | bytes] = []
    assert await s.signing.rotate_if_due() == 0
    for algorithm in (RSA, EC):
        await s.signing.rotate(algorithm)
        credentials = await s.signing.get_signing_credentials(algorithm)
        pem = credentials.private_pem().decode().splitlines()[1:-1]
        secrets += [*pem[:-1], base64.b64decode("".join(pem))]
    snapshot = await s.signing_keys.read()
    assert {record.algorithm for record in snapshot.records} == {RSA, EC}
    for key in await s.signing_keys.load_keys():
        secrets.append(key.data)
        jwk = json.loads(key.data)
        for member in {"d", "p", "q", "dp", "dq", "qi"} & jwk.keys():
            octets = base64.urlsafe_b64decode(jwk[member] + "==")
            secrets += [jwk[member], octets, str(int.from_bytes(octets))]
    stored = told("signing_keys", a_serialized_key(data=SENTINEL))
    assert await s.signing_keys.add(stored, after=snapshot.generation)
    await s.signing_keys.store_key(a_serialized_key("k2", data=a_private_jwk("k2", note=SENTINEL)))
    assert stored in await s.signing_keys.load_keys()
    return secrets


async def keys_and_tenants(s: Any, _: Told) -> list[str | bytes]:
    """What seals lies wrapped only, and what wraps it nowhere; sealing anew, and another tenant, change nothing of that."""
    await s.tenants.create("acme")
    acme = s.for_tenant("acme")
    await acme.persisted_grants.store(a_grant(data=SENTINEL))
    await acme.device_flow.store_device_authorization(SENTINEL, SENTINEL, a_device_code())
    assert await s.key_ring.rotate_if_due() == 0
    await s.key_ring.rotate()
    anew = (await s.key_ring.reencrypt()).total
    assert anew.reencrypted > 10
    assert anew.unreadable == 0
    await s.key_ring.rewrap()
    ring = s._key_ring
    master_key = ring._master_key
    secrets: list[str | bytes] = [master_key._key, master_key.export().partition(":")[2]]
    for tenant in ("default", "acme"):
        secrets += [await unwrap(master_key, record) for record in await ring._store.load(tenant)]
    assert len(secrets) == 2 + 3 + 2  # A key for hashes, and one or two that seal.
    return secrets


CHAPTERS: list[Callable[[Any, Told], Awaitable[list[str | bytes]]]] = [
    *(configuration, grants, device_flow, one_time_records, backchannel_authentication_requests, sessions),
    *(signing_keys, keys_and_tenants),
]


async def test_a_secret_is_found_nowhere(prepared_database, open_store, uncalled, attributes_of, search):
    """Whatever is not listed in `CLEAR` lies in no document, and in nothing that was ever written.

    An attribute that is in no chapter fails this, a method that may be given something to store, and a field of a model.
    """
    told = Told()
    signing = SigningOptions(signing_algorithms=[RSA, EC], certificate_algorithms=[RSA])
    async with open_store(prepared_database, telemetry=False, caching=None, signing=signing) as store:
        attributes = attributes_of(store)
        del attributes["clock"], attributes["caches"]  # They keep nothing in the database.
        left = uncalled(attributes)
        methods = frozenset(left)
        secrets = [SENTINEL, *[secret for chapter in CHAPTERS for secret in await chapter(store, told)]]
    assert search.places_of(*secrets) == set()

    storing = {name for name in left if not name.partition(".")[2].startswith(READING_OR_REMOVING)}
    assert storing == set(), "nobody calls these: let a chapter give them a secret"
    called = {name.partition(".")[0] for name in methods - left}
    assert called == attributes.keys(), "no chapter uses these"
    assert told.left_out() == set(), "let a chapter put the sentinel there, or list it as clear by design"
    # The mark of a tenant's own database lies in no shared one; `tests/mongo/tenants/test_stored_form.py` has its form.
    for fields in set(DOCUMENTS) - {TenantDatabaseFields}:
        stored = {name for document in search.database[fields.label].find() for name in document}
        assert stored, f"nothing was stored in {fields.label}"
        assert fields.label in CONFIGURATION or stored <= {"_id", "tenant", *CLEAR[fields.label], *fields.sealed_fields}


@pytest.mark.parametrize("fields", DOCUMENTS, ids=lambda fields: fields.label)
def test_what_is_clear_is_listed(fields):
    """Every field of every collection is sealed, or listed as clear by design; of configuration, secrets are sealed."""
    if fields.label not in CONFIGURATION:
        listed = {"id", "tenant", *CLEAR[fields.label], *fields.sealed_fields}
        assert set(fields.model_fields) == listed
