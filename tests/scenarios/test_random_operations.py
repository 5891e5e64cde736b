"""A long random life of a store, told twice: on MongoDB and in memory, with one clock, the same answers throughout."""

import base64
import inspect
import random
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import fields, is_dataclass
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from mongostore import MemoryStore, MongoStore, StoreOptions
from mongostore.errors import MongostoreError
from mongostore.models import (
    ApiScope,
    Message,
    PersistedGrantFilter,
    RemoveSessionsContext,
    SessionFilter,
    SessionQuery,
)
from mongostore.testing import FakeClock
from mongostore.testing.contracts.filled_models import an_api_resource, an_identity_resource, an_oidc_provider
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
from tests.scenarios.conftest import MASTER_KEY

SUBJECTS = ["alice", "bob", "Alice"]
CLIENTS = ["web", "spa", "tv"]
SESSIONS = ["s1", "s2", "s3"]
NAMES = ["a", "b", "c", "a|b"]
MOST_HANDLES = 25
SEED = 4711
TIME_PASSES = 0.2


Operation = tuple[str, str, tuple[Any, ...], dict[str, Any]]


class Life:
    """Chooses what happens next, from what has happened."""

    def __init__(self, seed: int, clock: FakeClock) -> None:
        self._random = random.Random(seed)
        self._clock = clock
        self._handles: dict[str, list[str]] = {}

    def one(self, *of: Any) -> Any:
        return self._random.choice(of)

    def known(self, kind: str) -> Any:
        """A handle of a kind, or one that nobody was given."""
        return self._random.choice([*self._handles.get(kind, ()), "unknown"])

    def remember(self, kind: str, handle: object) -> None:
        if isinstance(handle, str):
            self._handles.setdefault(kind, []).append(handle)
            del self._handles[kind][:-MOST_HANDLES]

    def times(self) -> dict[str, Any]:
        now = self._clock.now()
        return {"creation_time": now, "lifetime": self.one(5, 60, 600, 3_600)}

    def owned(self) -> dict[str, Any]:
        return {"client_id": self.one(*CLIENTS), **self.times()}

    def next(self) -> Operation:
        """An attribute, its method, and the arguments."""
        make: Callable[[], Operation] = self.one(
            *(
                self.code,
                self.refresh_token,
                self.reference_token,
                self.consent,
                self.raw_grant,
                self.device,
                self.ciba,
            ),
            *(self.pushed, self.message, self.replay, self.session, self.session, self.ticket, self.removal),
            *(self.client, self.resource, self.provider),
        )
        return make()

    def code(self) -> Operation:
        handle = self.known("code")
        code = an_authorization_code(subject_id=self.one(*SUBJECTS), session_id=self.one(*SESSIONS), **self.owned())
        return self.one(
            ("authorization_codes", "store_authorization_code", (code,), {}),
            ("authorization_codes", "store_authorization_code", (code,), {}),
            ("authorization_codes", "get_authorization_code", (handle,), {}),
            ("authorization_codes", "redeem_authorization_code", (handle,), {}),
            ("authorization_codes", "redeem_authorization_code", (handle,), {}),
            ("authorization_codes", "remove_authorization_code", (handle,), {}),
        )

    def refresh_token(self) -> Operation:
        handle = self.known("refresh")
        owner = {"subject_id": self.one(*SUBJECTS), "session_id": self.one(*SESSIONS)}
        token = a_refresh_token(**owner, **self.owned())
        grace = self.one(timedelta(0), timedelta(seconds=30))
        family = self.one(None, None, self.known("family"))
        return self.one(
            ("refresh_tokens", "store_refresh_token", (token,), {"family": None if family == "unknown" else family}),
            ("refresh_tokens", "store_refresh_token", (token,), {}),
            ("refresh_tokens", "get_refresh_token", (handle,), {}),
            ("refresh_tokens", "rotate_refresh_token", (handle, Successor(self.times())), {"grace": grace}),
            ("refresh_tokens", "rotate_refresh_token", (handle, Successor(self.times())), {"grace": grace}),
            ("refresh_tokens", "update_refresh_token", (handle, Successor(self.times())), {}),
            ("refresh_tokens", "remove_refresh_token", (handle,), {}),
        )

    def reference_token(self) -> Operation:
        handle = self.known("reference")
        token = a_reference_token(self.one(*SUBJECTS, None), self.one(*SESSIONS, None), **self.owned())
        family = self.one(None, self.known("family"))
        return self.one(
            (
                "reference_tokens",
                "store_reference_token",
                (token,),
                {"family": None if family == "unknown" else family},
            ),
            ("reference_tokens", "get_reference_token", (handle,), {}),
            ("reference_tokens", "remove_reference_token", (handle,), {}),
        )

    def consent(self) -> Operation:
        subject_id, client_id = self.one(*SUBJECTS), self.one(*CLIENTS)
        now = self._clock.now()
        expiration = self.one(None, now + timedelta(seconds=60), now - timedelta(seconds=1))
        consent = a_consent(subject_id, client_id, creation_time=now, expiration=expiration)
        return self.one(
            ("user_consents", "store_user_consent", (consent,), {}),
            ("user_consents", "get_user_consent", (subject_id, client_id), {}),
            ("user_consents", "remove_user_consent", (subject_id, client_id), {}),
        )

    def raw_grant(self) -> Operation:
        key, now = self.one(*NAMES), self._clock.now()
        grant = a_grant(
            key,
            type=self.one("custom", "other"),
            subject_id=self.one(*SUBJECTS, None),
            session_id=self.one(*SESSIONS, None),
            client_id=self.one(*CLIENTS),
            creation_time=now,
            expiration=self.one(None, now + timedelta(seconds=60), now),
            consumed_time=self.one(None, None, now),
            data=self.one("text", b"bytes", ""),
        )
        return self.one(
            ("persisted_grants", "store", (grant,), {}),
            ("persisted_grants", "get", (key,), {}),
            ("persisted_grants", "consume", (key,), {}),
            ("persisted_grants", "remove", (key,), {}),
            ("persisted_grants", "get_all", (self.grant_filter(),), {}),
        )

    def grant_filter(self) -> PersistedGrantFilter:
        some = {
            "subject_id": self.one(None, *SUBJECTS),
            "session_id": self.one(None, *SESSIONS),
            "client_id": self.one(None, *CLIENTS),
            "client_ids": self.one(None, None, [], CLIENTS[:2]),
            "type": self.one(None, None, "custom", "refresh_token"),
            "types": self.one(None, None, ["other", "reference_token"]),
        }
        return PersistedGrantFilter(**some if any(value is not None for value in some.values()) else {"type": "custom"})

    def device(self) -> Operation:
        device_code, user_code, subject_id = self.one(*NAMES), self.one(*NAMES), self.one(*SUBJECTS)
        answered = an_answered_device_code(subject_id, session_id=self.one(*SESSIONS), **self.owned())
        return self.one(
            ("device_flow", "store_device_authorization", (device_code, user_code, a_device_code(**self.owned())), {}),
            ("device_flow", "store_device_authorization", (device_code, user_code, a_device_code(**self.owned())), {}),
            ("device_flow", "find_by_user_code", (user_code,), {}),
            ("device_flow", "find_by_device_code", (device_code,), {}),
            ("device_flow", "update_by_user_code", (user_code, answered), {}),
            ("device_flow", "consume_by_device_code", (device_code,), {}),
            ("device_flow", "remove_by_device_code", (device_code,), {}),
            ("device_flow", "register_poll", (device_code, self.one(timedelta(0), timedelta(seconds=5))), {}),
        )

    def ciba(self) -> Operation:
        handle, internal_id = self.known("ciba"), self.known("internal")
        request = a_backchannel_request(self.one(*SUBJECTS), **self.owned())
        answered = a_backchannel_request(
            self.one(*SUBJECTS),
            is_complete=True,
            session_id=self.one(*SESSIONS),
            authorized_scopes=["a"],
            **self.owned(),
        )
        name = "backchannel_authentication_requests"
        return self.one(
            (name, "create_request", (request,), {}),
            (name, "get_by_authentication_request_id", (handle,), {}),
            (name, "get_by_internal_id", (internal_id,), {}),
            (name, "get_logins_for_user", (self.one(*SUBJECTS), self.one(None, *CLIENTS)), {}),
            (name, "update_by_internal_id", (internal_id, answered), {}),
            (name, "consume_by_internal_id", (internal_id,), {}),
            (name, "remove_by_internal_id", (internal_id,), {}),
        )

    def pushed(self) -> Operation:
        hashed = self.one(*NAMES)
        request = a_pushed_request(hashed, expires_at_utc=self._clock.now() + timedelta(seconds=self.one(0, 5, 60)))
        return self.one(
            ("pushed_authorization_requests", "store", (request,), {}),
            ("pushed_authorization_requests", "get_by_hash", (hashed,), {}),
            ("pushed_authorization_requests", "consume_by_hash", (hashed,), {}),
        )

    def message(self) -> Operation:
        which, known = self.one("messages", "consent_messages"), self.known("message")
        message = Message({"a": [1, None]}, self._clock.now())
        return self.one(
            (which, "write", (message,), {}), (which, "read", (known,), {}), (which, "delete", (known,), {})
        )

    def replay(self) -> Operation:
        purpose, handle = self.one("a", "b"), self.one(*NAMES)
        until = self._clock.now() + timedelta(seconds=self.one(-1, 0, 5, 60))
        return self.one(
            ("replay_cache", "add", (purpose, handle, until), {}), ("replay_cache", "exists", (purpose, handle), {})
        )

    def session(self) -> Operation:
        key, now = self.one(*NAMES), self._clock.now()
        session = a_session(
            key,
            subject_id=self.one(*SUBJECTS),
            session_id=self.one(*SESSIONS),
            display_name=self.one(None, "Alice", "ALICE B", "bob", "Ümit"),
            created=now,
            renewed=now,
            expires=self.one(None, now + timedelta(seconds=60), now + timedelta(hours=1)),
            ticket=self.one("opaque", b"bytes"),
        )
        ids = {"subject_id": self.one(*SUBJECTS), "session_id": self.one(None, *SESSIONS)}
        wanted = SessionFilter(**ids)
        query = SessionQuery(
            subject_id=self.one(None, *SUBJECTS),
            display_name=self.one(None, "al", "B"),
            count_requested=self.one(1, 2, 25),
            match=self.one("prefix", "prefix", "substring"),
        )
        name = "server_side_sessions"
        return self.one(
            (name, "create_session", (session,), {}),
            (name, "create_session", (session,), {}),
            (name, "get_session", (key,), {}),
            (name, "update_session", (session,), {}),
            (name, "delete_session", (key,), {}),
            (name, "get_sessions", (wanted,), {}),
            (name, "delete_sessions", (wanted,), {}),
            (name, "slide_session", (key,), {}),
            (name, "slide_sessions", (wanted,), {}),
            (name, "query_sessions", (query,), {}),
            (name, "claim_expired_sessions", (MANY, timedelta(seconds=30)), {}),
            (name, "acknowledge_expired_sessions", ([key],), {}),
            (name, "get_and_remove_expired_sessions", (MANY,), {}),
            ("sessions", "query", (query,), {}),
            ("sessions", "end", (RemoveSessionsContext(**ids, revoke_consents=self.one(True, False)),), {}),
        )

    def ticket(self) -> Operation:
        key, now = self.known("ticket"), self._clock.now()
        ticket = a_ticket(
            self.one(*SUBJECTS),
            self.one(*SESSIONS),
            issued=now,
            expires=self.one(None, now + timedelta(seconds=60)),
            client_ids=self.one([], ["web"], ["web", "spa"]),
        )
        return self.one(
            ("tickets", "store", (ticket,), {}),
            ("tickets", "retrieve", (key,), {"slide": self.one(True, False)}),
            ("tickets", "renew", (key, ticket), {}),
            ("tickets", "remove", (key,), {}),
            ("tickets", "add_client", (key, self.one(*CLIENTS)), {}),
        )

    def removal(self) -> Operation:
        subject_id, client_id = self.one(*SUBJECTS), self.one(*CLIENTS)
        some = self.one(None, *SESSIONS)
        return self.one(
            ("grants", "get_all_grants", (subject_id,), {}),
            ("grants", "get_all_grants", (subject_id,), {}),
            ("grants", "remove_all_grants", (subject_id, self.one(None, client_id), some), {}),
            ("grants", "remove_family", (self.known("family"),), {}),
            ("grants", "revoke_before", (self._clock.now() - timedelta(minutes=self.one(1, 60)),), {}),
            ("refresh_tokens", "remove_refresh_tokens", (subject_id, client_id), {}),
            ("reference_tokens", "remove_reference_tokens", (subject_id, client_id, some), {}),
            ("persisted_grants", "remove_all", (self.grant_filter(),), {}),
        )

    def client(self) -> Operation:
        client_id = self.one(*CLIENTS)
        client = a_client(
            client_id,
            enabled=self.one(True, False),
            client_name=self.one(None, "a"),
            allowed_cors_origins=self.one([], ["https://app.example.com"]),
        )
        return self.one(
            ("clients", "save_client", (client,), {}),
            ("clients", "save_client", (client,), {"expected_revision": 0}),
            ("clients", "find_client_by_id", (client_id,), {}),
            ("clients", "find_enabled_client_by_id", (client_id,), {}),
            ("clients", "get_all_clients", (), {}),
            ("clients", "delete_client", (client_id,), {}),
            ("cors_policy", "is_origin_allowed", ("HTTPS://APP.example.com:443",), {}),
        )

    def resource(self) -> Operation:
        name, enabled = self.one(*NAMES), self.one(True, False)
        names = [self.one(*NAMES), self.one(*NAMES), "offline_access"]
        scope, identity = ApiScope(name=name, enabled=enabled), an_identity_resource(name, enabled=enabled)
        return self.one(
            ("resources", "save_api_scope", (scope,), {}),
            ("resources", "save_identity_resource", (identity,), {"expected_revision": self.one(None, 0)}),
            ("resources", "save_api_resource", (an_api_resource(name, scopes=names[:2], enabled=enabled),), {}),
            ("resources", "find_identity_resources_by_scope_name", (names,), {}),
            ("resources", "find_api_scopes_by_name", (names,), {}),
            ("resources", "find_api_resources_by_scope_name", (names,), {}),
            ("resources", "find_api_resources_by_name", (names,), {}),
            ("resources", "find_resources_by_scope", (names,), {}),
            ("resources", "find_enabled_resources_by_scope", (names,), {}),
            ("resources", "get_all_resources", (), {}),
            ("resources", "delete_api_scope", (name,), {}),
            ("resources", "delete_identity_resource", (name,), {}),
            ("resources", "delete_api_resource", (name,), {}),
        )

    def provider(self) -> Operation:
        scheme = self.one(*NAMES)
        return self.one(
            (
                "identity_providers",
                "save_identity_provider",
                (an_oidc_provider(scheme, enabled=self.one(True, False)),),
                {},
            ),
            ("identity_providers", "get_by_scheme", (scheme,), {}),
            ("identity_providers", "get_all_scheme_names", (), {}),
            ("identity_providers", "delete_identity_provider", (scheme,), {}),
        )


class Successor:
    """Whatever may follow a token: it must belong to whom the token belongs to."""

    def __init__(self, times: dict[str, Any]) -> None:
        self.times = times

    async def of(self, store: Any, handle: str) -> Any:
        old = await store.refresh_tokens.get_refresh_token(handle)
        return (
            a_refresh_token(**self.times)
            if old is None
            else old.model_copy(update={**self.times, "consumed_time": None})
        )


KINDS = {
    "store_authorization_code": "code",
    "store_refresh_token": "refresh",
    "store_reference_token": "reference",
    "create_request": "ciba",
    "write": "message",
}
ORDERED = {"get_all_clients", "get_all_scheme_names", "query_sessions", "query"}
# Of sessions that are due at the same instant, each store may give another one first.
MANY = 1_000


async def answer(store: Any, operation: Operation) -> Any:
    """What a store answers; an error of ours is an answer too."""
    attribute, method, positional, named = operation
    given = [await value.of(store, positional[0]) if isinstance(value, Successor) else value for value in positional]
    try:
        result = getattr(getattr(store, attribute), method)(*given, **named)
        if inspect.isasyncgen(result):
            return [each async for each in result]
        return await result
    except (MongostoreError, TypeError, ValueError) as error:
        return type(error)


def plain(value: Any, *, ordered: bool) -> Any:
    """An answer that can be compared, unordered lists sorted."""
    if isinstance(value, BaseModel):
        value = dict(value)
    elif is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, dict):
        # A paging token is sealed.
        value = value if "results_token" not in value else value | {"results_token": bool(value["results_token"])}
        return {name: plain(each, ordered=ordered) for name, each in value.items()}
    if isinstance(value, list | tuple):
        members = [plain(each, ordered=ordered) for each in value]
        return members if ordered else sorted(members, key=repr)
    if isinstance(value, frozenset | set):
        return sorted((plain(each, ordered=ordered) for each in value), key=repr)
    return value


class Randomness:
    """What handles and ids are drawn from, in place of the system's: both stores are to draw the same."""

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, number: int) -> None:
        """Draw as ever after this number."""
        self._random = random.Random(number)

    def token_hex(self, size: int) -> str:
        return self._random.randbytes(size).hex()

    def token_urlsafe(self, size: int) -> str:
        return base64.urlsafe_b64encode(self._random.randbytes(size)).decode().rstrip("=")


@pytest.fixture
def randomness(monkeypatch: pytest.MonkeyPatch) -> Randomness:
    drawn = Randomness()
    monkeypatch.setattr(secrets, "token_hex", drawn.token_hex)
    monkeypatch.setattr(secrets, "token_urlsafe", drawn.token_urlsafe)
    return drawn


@pytest.fixture
async def both(
    store: MongoStore, mongo_uri: str, database_name: str
) -> AsyncIterator[tuple[dict[str, Any], FakeClock]]:
    """On the database whose schema `store` has."""
    clock, options = FakeClock(), StoreOptions(telemetry=False, caching=None)
    async with (
        MongoStore(mongo_uri, database=database_name, master_key=MASTER_KEY, options=options, clock=clock) as mongo,
        MemoryStore(options=options, clock=clock) as memory,
    ):
        yield {"mongo": mongo, "memory": memory}, clock


@pytest.mark.parametrize("operations", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_both_backends_answer_alike(
    both: tuple[dict[str, Any], FakeClock], randomness: Randomness, operations: int
) -> None:
    """Whatever happens, in whatever order: the same values, counts, outcomes and errors."""
    stores, clock = both
    life, times = Life(SEED + operations, clock), random.Random(SEED)
    for number in range(operations):
        if times.random() < TIME_PASSES:
            clock.advance(timedelta(milliseconds=times.choice([1, 999, 1_000, 7_000, 31_000, 600_000])))
        operation = life.next()
        attribute, method, _, _ = operation
        answers = {}
        for which, store in stores.items():
            randomness.begin(number)
            answers[which] = await answer(store, operation)
        told = {which: plain(each, ordered=method in ORDERED) for which, each in answers.items()}
        if method.startswith("save_") and all(isinstance(each, int) for each in answers.values()):
            continue  # Revisions grow, each store's in its own way.
        assert told["mongo"] == told["memory"], f"operation {number}: {attribute}.{method}"
        if method in KINDS or attribute == "tickets":
            life.remember(KINDS.get(method, "ticket"), answers["memory"])
        for member, kind in (("family", "family"), ("handle", "refresh"), ("internal_id", "internal")):
            life.remember(kind, getattr(answers["memory"], member, None))
