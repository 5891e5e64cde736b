"""What a tenant can have, and one call of every public method with the names and handles of all that.

`looking` finds or touches what is there: it must give its owner something, and another tenant nothing. `bringing` makes
something under the same names: it must succeed for another tenant as if nothing were there, and change nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from mongostore import TokenCleanupService
from mongostore.assembly.stores import Stores
from mongostore.grants.cleanup import CleanupCounts
from mongostore.models import (
    ApiResource,
    ApiScope,
    IdentityResource,
    Message,
    OidcProvider,
    PersistedGrantFilter,
    RemoveSessionsContext,
    ServerSideSession,
    SessionFilter,
    SessionQuery,
)
from mongostore.protection.reencrypt import ReencryptionCounts, ReencryptionResult
from mongostore.stores import EndedSessions, Logout, LogoutState
from mongostore.testing.factories import (
    a_backchannel_request,
    a_client,
    a_consent,
    a_device_code,
    a_grant,
    a_pushed_request,
    a_reference_token,
    a_refresh_token,
    a_serialized_key,
    a_session,
    a_ticket,
    an_answered_device_code,
    an_authorization_code,
)

Call = Callable[[], Any]

HOUR = timedelta(hours=1)
ORIGIN = "https://app.example.com"
ALICE = PersistedGrantFilter(subject_id="alice")
HER_SESSIONS = SessionFilter(subject_id="alice")

# Of the whole deployment, as their documentation says, whichever tenant's attribute they are called on: all tenants' keys
# are wrapped anew, and the tenant to destroy is named.
OF_ALL_TENANTS = {"key_ring.rewrap", "key_ring.destroy"}


class Belongings:
    """One of everything, and how to get at it.

    Attributes:
        handles: by what they lead to.
        session: the one behind the ticket.
        logout: of a session that was ended.
    """

    def __init__(self, stores: Stores, mark: str) -> None:
        """Args: whose; a text in what can be told apart by nothing else."""
        self.stores = stores
        self.mark = mark
        self.handles: dict[str, str] = {}
        self.session: ServerSideSession
        self.logout: Logout

    async def fill(self) -> None:
        s, h, past = self.stores, self.handles, self.stores.clock.now() - HOUR
        for make in configuration(s, self.mark).values():
            await make()
        await s.persisted_grants.store(a_grant("k", description=self.mark))
        await s.persisted_grants.store(a_grant("expired", creation_time=past - HOUR, expiration=past))
        h["code"] = await s.authorization_codes.store_authorization_code(an_authorization_code())
        h["refresh"] = await s.refresh_tokens.store_refresh_token(a_refresh_token(description=self.mark), family="f")
        h["reference"] = await s.reference_tokens.store_reference_token(a_reference_token(), family="f")
        await s.user_consents.store_user_consent(a_consent())
        await s.device_flow.store_device_authorization("device", "USER", an_answered_device_code(description=self.mark))
        await s.device_flow.register_poll("device", HOUR)
        await s.pushed_authorization_requests.store(
            a_pushed_request("h", subject_id="alice", parameters={"mark": [self.mark]})
        )
        request = a_backchannel_request(is_complete=True, binding_message=self.mark)
        requests = s.backchannel_authentication_requests
        h["ciba"] = await requests.create_request(request)
        h["internal"] = (await requests.get_by_authentication_request_id(h["ciba"])).internal_id
        h["message"] = await s.messages.write(Message(data=self.mark))
        h["consent message"] = await s.consent_messages.write(Message(data=self.mark))
        assert await s.replay_cache.add("jti", "1", s.clock.now() + HOUR)
        for key in ("claimed", "expired"):
            await s.server_side_sessions.create_session(a_session(key, created=past, renewed=past, expires=past))
            if key == "claimed":
                assert len(await s.server_side_sessions.claim_expired_sessions(10, HOUR)) == 1
        await s.server_side_sessions.create_session(a_session("ended"))
        logout = await s.server_side_sessions.end_session("ended", begins, HOUR)
        assert logout is not None
        self.logout = logout
        await s.server_side_sessions.create_session(a_session("session", display_name=self.mark))
        h["ticket"] = await s.tickets.store(a_ticket())
        self.session = await s.server_side_sessions.get_session(h["ticket"])
        h["kid"] = (await s.signing.get_signing_credentials()).key_id
        await s.signing.rotate()
        for key_id in ("kid", "kid2", "kid3"):
            await s.signing_keys.store_key(a_serialized_key(key_id))
        # What was sealed before is to be sealed anew.
        await s.key_ring.rotate()

    async def snapshot(self) -> dict[str, Any]:
        """All that its owner sees, by reading methods only."""
        s, h = self.stores, self.handles
        requests = s.backchannel_authentication_requests
        return {
            "clients": [client async for client in s.clients.get_all_clients()],
            "revision": await s.clients.get_client_revision("web"),
            "resources": await s.resources.get_all_resources(),
            "cors": await s.cors_policy.is_origin_allowed(ORIGIN),
            "schemes": await s.identity_providers.get_all_scheme_names(),
            "provider": await s.identity_providers.get_by_scheme("acme"),
            "grants": sorted(
                [(g.key, g.consumed_time, g.data) for g in await s.persisted_grants.get_all(ALICE)], key=str
            ),
            "her grants": await s.grants.get_all_grants("alice"),
            "code": await s.authorization_codes.get_authorization_code(h["code"]),
            "refresh": await s.refresh_tokens.get_refresh_token(h["refresh"]),
            "reference": await s.reference_tokens.get_reference_token(h["reference"]),
            "consent": await s.user_consents.get_user_consent("alice", "web"),
            "device": await s.device_flow.find_by_device_code("device"),
            "user code": await s.device_flow.find_by_user_code("USER"),
            "par": await s.pushed_authorization_requests.get_by_hash("h"),
            "ciba": await requests.get_by_authentication_request_id(h["ciba"]),
            "message": await s.messages.read(h["message"]),
            "consent message": await s.consent_messages.read(h["consent message"]),
            "replay": await s.replay_cache.exists("jti", "1"),
            "session": await s.server_side_sessions.get_session("session"),
            "sessions": sorted([session.key for session in await s.server_side_sessions.get_sessions(HER_SESSIONS)]),
            "page": (await s.sessions.query()).total_count,
            "ticket": await s.tickets.retrieve(h["ticket"]),
            "signing keys": [key.id for key in await s.signing_keys.load_keys()],
            "published": await s.signing.jwks(),
            "data keys": [key.key_id for key in (await s.key_ring.status()).keys],
        }


def configuration(me: Stores, mark: str) -> dict[str, Call]:
    """What saves each kind of configuration, as new."""
    client = a_client(client_name=mark, allowed_cors_origins=[ORIGIN], coordinate_lifetime_with_user_session=True)
    provider = OidcProvider(
        scheme="acme", display_name=mark, authority="https://acme.example.com", client_id="us", client_secret="s"
    )
    openid = IdentityResource(name="openid", display_name=mark, user_claims=["sub"])
    scope = ApiScope(name="orders.read", display_name=mark)
    resource = ApiResource(name="orders", display_name=mark, scopes=["orders.read"])
    return {
        "clients.save_client": lambda: me.clients.save_client(client, expected_revision=0),
        "resources.save_identity_resource": lambda: me.resources.save_identity_resource(openid, expected_revision=0),
        "resources.save_api_scope": lambda: me.resources.save_api_scope(scope, expected_revision=0),
        "resources.save_api_resource": lambda: me.resources.save_api_resource(resource, expected_revision=0),
        "identity_providers.save_identity_provider": lambda: me.identity_providers.save_identity_provider(
            provider, expected_revision=0
        ),
    }


def bringing(me: Stores, theirs: Belongings, mark: str) -> dict[str, Call]:
    """One call of every method that makes something, under the names of what another tenant has; in this order."""
    now, requests = me.clock.now(), me.backchannel_authentication_requests
    return {
        **configuration(me, mark),
        "persisted_grants.store": lambda: me.persisted_grants.store(a_grant("k", data=mark)),
        "authorization_codes.store_authorization_code": lambda: me.authorization_codes.store_authorization_code(
            an_authorization_code()
        ),
        "refresh_tokens.store_refresh_token": lambda: me.refresh_tokens.store_refresh_token(
            a_refresh_token(), family="f"
        ),
        "reference_tokens.store_reference_token": lambda: me.reference_tokens.store_reference_token(
            a_reference_token(), family="f"
        ),
        "user_consents.store_user_consent": lambda: me.user_consents.store_user_consent(a_consent()),
        "device_flow.store_device_authorization": lambda: me.device_flow.store_device_authorization(
            "device", "USER", a_device_code()
        ),
        "device_flow.register_poll": lambda: me.device_flow.register_poll("device", HOUR),
        "pushed_authorization_requests.store": lambda: me.pushed_authorization_requests.store(a_pushed_request("h")),
        "backchannel_authentication_requests.create_request": lambda: requests.create_request(a_backchannel_request()),
        "messages.write": lambda: me.messages.write(Message(data=mark)),
        "consent_messages.write": lambda: me.consent_messages.write(Message(data=mark)),
        "replay_cache.add": lambda: me.replay_cache.add("jti", "1", now + HOUR),
        "server_side_sessions.create_session": lambda: me.server_side_sessions.create_session(a_session("session")),
        "tickets.store": lambda: me.tickets.store(a_ticket()),
        "signing.get_signing_credentials": me.signing.get_signing_credentials,
        "signing.get_validation_keys": me.signing.get_validation_keys,
        "signing.jwks": me.signing.jwks,
        "signing.rotate": me.signing.rotate,
        "signing.rotate_if_due": me.signing.rotate_if_due,
        # The third of this tenant's: the other one has a third, too.
        "signing_keys.add": lambda: me.signing_keys.add(a_serialized_key("kid"), after=2),
        "signing_keys.retire": lambda: me.signing_keys.retire(1, now),
        "signing_keys.store_key": lambda: me.signing_keys.store_key(a_serialized_key("kid2")),
        "key_ring.rotate": me.key_ring.rotate,
        "key_ring.rotate_if_due": me.key_ring.rotate_if_due,
    }


def looking(me: Stores, theirs: Belongings) -> dict[str, Call]:
    """One call of every other method, with all that there is to know of what a tenant has."""
    return {
        **_configuration(me),
        **_grants(me, theirs.handles),
        **_one_time(me, theirs.handles),
        **_rest(me, theirs),
        # Last: its grants go with it.
        "clients.delete_client": lambda: me.clients.delete_client("web"),
    }


def _configuration(me: Stores) -> dict[str, Call]:
    clients, resources, providers = me.clients, me.resources, me.identity_providers
    return {
        "clients.find_client_by_id": lambda: clients.find_client_by_id("web"),
        "clients.find_enabled_client_by_id": lambda: clients.find_enabled_client_by_id("web"),
        "clients.get_all_clients": clients.get_all_clients,
        "clients.get_client_revision": lambda: clients.get_client_revision("web"),
        "clients.read_client": lambda: clients.read_client("web"),
        "resources.find_identity_resources_by_scope_name": lambda: resources.find_identity_resources_by_scope_name(
            ["openid"]
        ),
        "resources.find_api_scopes_by_name": lambda: resources.find_api_scopes_by_name(["orders.read"]),
        "resources.find_api_resources_by_scope_name": lambda: resources.find_api_resources_by_scope_name(
            ["orders.read"]
        ),
        "resources.find_api_resources_by_name": lambda: resources.find_api_resources_by_name(["orders"]),
        "resources.get_all_resources": resources.get_all_resources,
        "resources.find_resources_by_scope": lambda: resources.find_resources_by_scope(["openid", "orders.read"]),
        "resources.find_enabled_resources_by_scope": lambda: resources.find_enabled_resources_by_scope(["openid"]),
        "resources.read_identity_resource": lambda: resources.read_identity_resource("openid"),
        "resources.read_api_scope": lambda: resources.read_api_scope("orders.read"),
        "resources.read_api_resource": lambda: resources.read_api_resource("orders"),
        "resources.delete_identity_resource": lambda: resources.delete_identity_resource("openid"),
        "resources.delete_api_scope": lambda: resources.delete_api_scope("orders.read"),
        "resources.delete_api_resource": lambda: resources.delete_api_resource("orders"),
        "cors_policy.is_origin_allowed": lambda: me.cors_policy.is_origin_allowed(ORIGIN),
        "identity_providers.get_all_scheme_names": providers.get_all_scheme_names,
        "identity_providers.get_by_scheme": lambda: providers.get_by_scheme("acme"),
        "identity_providers.read_identity_provider": lambda: providers.read_identity_provider("acme"),
        "identity_providers.delete_identity_provider": lambda: providers.delete_identity_provider("acme"),
    }


def _grants(me: Stores, h: dict[str, str]) -> dict[str, Call]:
    codes, refresh, reference = me.authorization_codes, me.refresh_tokens, me.reference_tokens
    changed = a_refresh_token(description="changed")
    return {
        "persisted_grants.get": lambda: me.persisted_grants.get("k"),
        "persisted_grants.get_all": lambda: me.persisted_grants.get_all(ALICE),
        "persisted_grants.consume": lambda: me.persisted_grants.consume("k"),
        "persisted_grants.remove": lambda: me.persisted_grants.remove("k"),
        "persisted_grants.remove_all": lambda: me.persisted_grants.remove_all(ALICE),
        "persisted_grants.remove_created_before": lambda: me.persisted_grants.remove_created_before(
            me.clock.now() + HOUR
        ),
        "authorization_codes.get_authorization_code": lambda: codes.get_authorization_code(h["code"]),
        "authorization_codes.redeem_authorization_code": lambda: codes.redeem_authorization_code(h["code"]),
        "authorization_codes.remove_authorization_code": lambda: codes.remove_authorization_code(h["code"]),
        "refresh_tokens.get_refresh_token": lambda: refresh.get_refresh_token(h["refresh"]),
        "refresh_tokens.rotate_refresh_token": lambda: refresh.rotate_refresh_token(h["refresh"], changed),
        "refresh_tokens.update_refresh_token": lambda: refresh.update_refresh_token(h["refresh"], changed),
        "refresh_tokens.remove_refresh_token": lambda: refresh.remove_refresh_token(h["refresh"]),
        "refresh_tokens.remove_refresh_tokens": lambda: refresh.remove_refresh_tokens("alice", "web"),
        "reference_tokens.get_reference_token": lambda: reference.get_reference_token(h["reference"]),
        "reference_tokens.remove_reference_token": lambda: reference.remove_reference_token(h["reference"]),
        "reference_tokens.remove_reference_tokens": lambda: reference.remove_reference_tokens("alice", "web"),
        "user_consents.get_user_consent": lambda: me.user_consents.get_user_consent("alice", "web"),
        "user_consents.remove_user_consent": lambda: me.user_consents.remove_user_consent("alice", "web"),
        "grants.get_all_grants": lambda: me.grants.get_all_grants("alice"),
        "grants.remove_all_grants": lambda: me.grants.remove_all_grants("alice"),
        "grants.remove_family": lambda: me.grants.remove_family("f"),
        "grants.revoke_before": lambda: me.grants.revoke_before(me.clock.now() + HOUR),
    }


def _one_time(me: Stores, h: dict[str, str]) -> dict[str, Call]:
    devices, pushed, requests = (
        me.device_flow,
        me.pushed_authorization_requests,
        me.backchannel_authentication_requests,
    )
    changed = a_device_code(description="changed")
    answered = a_backchannel_request(binding_message="changed")
    return {
        "device_flow.find_by_user_code": lambda: devices.find_by_user_code("USER"),
        "device_flow.find_by_device_code": lambda: devices.find_by_device_code("device"),
        "device_flow.update_by_user_code": lambda: devices.update_by_user_code("USER", changed),
        "device_flow.remove_all": lambda: devices.remove_all(ALICE),
        "device_flow.remove_created_before": lambda: devices.remove_created_before(me.clock.now() + HOUR),
        "device_flow.remove_by_device_code": lambda: devices.remove_by_device_code("device"),
        "device_flow.consume_by_device_code": lambda: devices.consume_by_device_code("device"),
        "pushed_authorization_requests.get_by_hash": lambda: pushed.get_by_hash("h"),
        "pushed_authorization_requests.remove_all": lambda: pushed.remove_all(ALICE),
        "pushed_authorization_requests.consume_by_hash": lambda: pushed.consume_by_hash("h"),
        **{
            f"backchannel_authentication_requests.{name}": call
            for name, call in {
                "get_by_authentication_request_id": lambda: requests.get_by_authentication_request_id(h["ciba"]),
                "get_by_internal_id": lambda: requests.get_by_internal_id(h["internal"]),
                "get_logins_for_user": lambda: requests.get_logins_for_user("alice"),
                "update_by_internal_id": lambda: requests.update_by_internal_id(h["internal"], answered),
                "remove_by_internal_id": lambda: requests.remove_by_internal_id(h["internal"]),
                "consume_by_internal_id": lambda: requests.consume_by_internal_id(h["internal"]),
            }.items()
        },
        "messages.read": lambda: me.messages.read(h["message"]),
        "messages.delete": lambda: me.messages.delete(h["message"]),
        "consent_messages.read": lambda: me.consent_messages.read(h["consent message"]),
        "consent_messages.delete": lambda: me.consent_messages.delete(h["consent message"]),
        "replay_cache.exists": lambda: me.replay_cache.exists("jti", "1"),
    }


def begins(_: ServerSideSession) -> LogoutState:
    """What a logout begins with."""
    return LogoutState()


def ended_by(end_sessions: Callable[..., Awaitable[EndedSessions]]) -> Call:
    """A call that gives what was ended, or nothing."""

    async def ended() -> Sequence[Logout]:
        return (await end_sessions(HER_SESSIONS, begins, HOUR)).logouts

    return ended


def _rest(me: Stores, theirs: Belongings) -> dict[str, Call]:
    sessions, service, h = me.server_side_sessions, me.sessions, theirs.handles
    changed = a_session("session", ticket="changed")
    coordinated = a_client(coordinate_lifetime_with_user_session=True)
    context = RemoveSessionsContext(subject_id="alice")
    return {
        "server_side_sessions.get_session": lambda: sessions.get_session("session"),
        "server_side_sessions.update_session": lambda: sessions.update_session(changed),
        "server_side_sessions.delete_session": lambda: sessions.delete_session("session"),
        "server_side_sessions.get_sessions": lambda: sessions.get_sessions(HER_SESSIONS),
        "server_side_sessions.delete_sessions": lambda: sessions.delete_sessions(HER_SESSIONS),
        "server_side_sessions.get_and_remove_expired_sessions": lambda: sessions.get_and_remove_expired_sessions(10),
        "server_side_sessions.claim_expired_sessions": lambda: sessions.claim_expired_sessions(10, HOUR),
        "server_side_sessions.acknowledge_expired_sessions": lambda: sessions.acknowledge_expired_sessions(["claimed"]),
        "server_side_sessions.query_sessions": lambda: sessions.query_sessions(SessionQuery()),
        "server_side_sessions.slide_session": lambda: sessions.slide_session("session"),
        "server_side_sessions.slide_sessions": lambda: sessions.slide_sessions(HER_SESSIONS),
        "server_side_sessions.change_session": lambda: sessions.change_session("session", lambda session: session),
        "server_side_sessions.has_begun_since": lambda: sessions.has_begun_since(HER_SESSIONS, me.clock.now() - HOUR),
        "server_side_sessions.end_session": lambda: sessions.end_session("session", begins, HOUR),
        "server_side_sessions.end_sessions": ended_by(sessions.end_sessions),
        "server_side_sessions.claim_logouts": lambda: sessions.claim_logouts(10, HOUR),
        "server_side_sessions.keep_logout": lambda: sessions.keep_logout(theirs.logout, LogoutState(), me.clock.now()),
        "server_side_sessions.finish_logouts": lambda: sessions.finish_logouts([theirs.logout]),
        "sessions.validate_session": lambda: service.validate_session("alice", "s1", coordinated),
        "sessions.process_logout": lambda: service.process_logout(theirs.session),
        "sessions.query": lambda: service.query(SessionQuery()),
        "sessions.end": lambda: service.end(context),
        "sessions.process_expired": lambda: service.process_expired(lambda _: None),
        "sessions.run": lambda: processed_by(service.run),
        "tickets.retrieve": lambda: me.tickets.retrieve(h["ticket"]),
        "tickets.renew": lambda: me.tickets.renew(h["ticket"], a_ticket("bob")),
        "tickets.add_client": lambda: me.tickets.add_client(h["ticket"], "another"),
        "tickets.remove": lambda: me.tickets.remove(h["ticket"]),
        "signing_keys.load_keys": me.signing_keys.load_keys,
        "signing_keys.read": me.signing_keys.read,
        "signing_keys.read_unopened": me.signing_keys.read_unopened,
        "signing_keys.delete_key": lambda: me.signing_keys.delete_key("kid"),
        "key_ring.status": me.key_ring.status,
        "key_ring.reencrypt": me.key_ring.reencrypt,
        # Not an attribute, but public, and made of one tenant's stores.
        "TokenCleanupService.cleanup_grants": lambda: TokenCleanupService(me).cleanup_grants(),
    }


async def processed_by(run: Callable[..., Awaitable[None]]) -> list[ServerSideSession]:
    """What a loop that ends with its cancellation hands out before it pauses."""
    seen: list[ServerSideSession] = []
    pauses = asyncio.Event()

    def pause(interval: timedelta, _failures: int) -> timedelta:
        pauses.set()
        return interval

    with patch("mongostore.sessions.expiry._pause", pause):
        tasks = looping, pausing = (
            asyncio.ensure_future(run(seen.append, interval=HOUR)),
            asyncio.create_task(pauses.wait()),
        )
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert pausing.done(), looping.exception()
    looping.cancel()
    await asyncio.wait([looping])
    return seen


async def outcome(call: Call) -> Any:
    """What a call gives, an iterator's items in a list; not later than in some seconds."""
    async with asyncio.timeout(60):
        result = call()
        return [each async for each in result] if hasattr(result, "__aiter__") else await result


def is_nothing(result: Any) -> bool:
    """Whether a method said that there was nothing to see, change or count."""
    result = getattr(result, "outcome", result)
    for name in ("results", "records", "keys"):  # A page, the signing keys, a key ring.
        if hasattr(result, name):
            return not getattr(result, name) and not getattr(result, "total_count", 0)
    if hasattr(result, "api_resources"):
        return not (result.api_resources or result.api_scopes or result.identity_resources)
    if isinstance(result, ReencryptionResult):
        return result.total == ReencryptionCounts()
    return result in (None, False, 0, [], (), "unknown", CleanupCounts())
