"""What an auditor wants to hear of, told to the hook that `StoreOptions.on_event` names.

An event says what happened to whom in numbers and in the names of clients and families. A handle, a payload or a subject is
never in one: an audit log is kept for longer, and read by more people, than the store.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mongostore.clock import Clock
from mongostore.telemetry import Telemetry

_log = logging.getLogger("mongostore")

EventKind = Literal[
    "revoked",
    "replayed",
    "retried",
    "tampered",
    "invalid_configuration",
    "logout_undelivered",
    "key_rotated",
    "signing_key_rotated",
    "tenant_destroyed",
    "tenant_deleted",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreEvent:
    """Something that happened, told once, on the node that did it, when MongoDB has confirmed it.

    Attributes:
        kind: "revoked": grants were removed before their time, by whatever way. "replayed": something that can be used
            once was presented again. "retried": a used refresh token was presented again inside its grace, and was given
            its successor once more. "tampered": a sealed record was altered, moved, or changed beside its payload, and was
            not believed. "invalid_configuration": a stored client, resource or provider breaks the rules and is not
            served. "logout_undelivered": a client could not be told of a logout until the grace was over.
            "key_rotated": a new data key took, or will take, its predecessor's place. "signing_key_rotated": a signing key
            was added to those that there are. "tenant_destroyed": the keys of a tenant were destroyed.
            "tenant_deleted": its records were removed.
        operation: where it happened ("refresh_tokens.rotate_refresh_token").
        tenant: whose.
        at: when, by the store's clock.
        client_id: whose grants, where one client's are meant or known.
        family: what the grants have in common, where a family is meant or known.
        key_id: of the new key.
        count: how many records were removed, or data keys destroyed; for "retried", which retry of this token it was.
        collection: the kind of record that was tampered with or breaks the rules ("grants").
    """

    kind: EventKind
    operation: str
    tenant: str
    at: datetime
    client_id: str | None = None
    family: str | None = None
    key_id: str | None = None
    count: int | None = None
    collection: str | None = None


EventHook = Callable[[StoreEvent], None]
"""Is called in the event loop, between two operations, and should do no more than hand the event on.

What it raises is logged and breaks nothing. A process that dies in this moment tells nobody.
"""


class Events:
    """Tells the hook, and counts."""

    def __init__(self, hook: EventHook | None, telemetry: Telemetry | None, clock: Clock) -> None:
        """Args: whom to tell; what counts; the time."""
        self._hook = hook
        self._telemetry = telemetry
        self._clock = clock

    def tell(
        self,
        kind: EventKind,
        operation: str,
        tenant: str,
        *,
        client_id: str | None = None,
        family: str | None = None,
        key_id: str | None = None,
        count: int | None = None,
        collection: str | None = None,
    ) -> None:
        """Tell that something has happened now; see `StoreEvent`."""
        if self._telemetry is not None:
            self._telemetry.count_event(kind)
        if self._hook is None:
            return
        event = StoreEvent(
            kind=kind,
            operation=operation,
            tenant=tenant,
            at=self._clock.now(),
            client_id=client_id,
            family=family,
            key_id=key_id,
            count=count,
            collection=collection,
        )
        try:
            self._hook(event)
        except Exception:  # noqa: BLE001 - what was done is done, and the caller must not take it for failed
            _log.exception("The hook on_event failed for an event %r of tenant %s", kind, tenant)
