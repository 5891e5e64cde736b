"""What a subject has granted, over all types of grants: for a page where users see and withdraw it."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mongostore.errors import PayloadUnreadable
from mongostore.grants.revocation import Revocation
from mongostore.grants.typed_grants import GrantSerializer
from mongostore.models import (
    AuthorizationCode,
    Consent,
    Grant,
    PersistedGrant,
    PersistedGrantFilter,
    PersistedGrantType,
    RefreshToken,
    Token,
)
from mongostore.models.grants import check_filter_text
from mongostore.stores.grant_records import GrantRecordStore
from mongostore.stores.persisted_grants import PersistedGrantStore

_log = logging.getLogger("mongostore")


@dataclass(frozen=True, slots=True)
class _Part:
    """What one stored grant adds to the grant that is shown for its client."""

    grant: PersistedGrant
    scopes: Iterable[str]


class GrantService:
    """The grants of one tenant, whatever their type."""

    def __init__(self, records: GrantRecordStore, grants: PersistedGrantStore, revocation: Revocation) -> None:
        """Args: the transitions and the plain operations of the same grants, and what revokes over all collections."""
        self._records = records
        self._revocation = revocation
        self._grants = grants
        self._serializers: dict[str, GrantSerializer[Any]] = {
            serializer.grant_type: serializer
            for serializer in (
                GrantSerializer(PersistedGrantType.UserConsent, Consent),
                GrantSerializer(PersistedGrantType.AuthorizationCode, AuthorizationCode),
                GrantSerializer(PersistedGrantType.RefreshToken, RefreshToken),
                GrantSerializer(PersistedGrantType.ReferenceToken, Token),
            )
        }

    async def get_all_grants(self, subject_id: str) -> list[Grant]:
        """List what a subject has granted, one `Grant` a client: its consent, codes and tokens merged.

        Scopes are joined, the earliest creation and the latest expiration hold (None when one of them never expires), and
        the first description found. Consumed grants and backchannel requests are left out; unreadable ones are logged and
        left out.

        Args:
            subject_id: whose grants.

        Raises:
            TypeError, ValueError: the subject is no text, or empty.
            PayloadUnreadable, KeyUnavailable: not one of several grants could be read.
        """
        check_filter_text("subject_id", subject_id)
        parts: dict[str, list[_Part]] = {}
        damaged: list[PayloadUnreadable] = []
        for grant in await self._grants.get_all(PersistedGrantFilter(subject_id=subject_id)):
            if grant.consumed_time is None and grant.type in self._serializers:
                try:
                    scopes = _scopes(self._serializers[grant.type].value(grant))
                except PayloadUnreadable as error:
                    damaged.append(error)
                else:
                    parts.setdefault(grant.client_id, []).append(_Part(grant, scopes))
        if damaged:
            _log.error("%d grants of one subject can't be read and are left out: %s", len(damaged), damaged[0])
            if not parts:
                raise damaged[0]
        return [_merged(subject_id, client_id, parts[client_id]) for client_id in sorted(parts)]

    async def remove_all_grants(
        self, subject_id: str, client_id: str | None = None, session_id: str | None = None
    ) -> int:
        """Remove everything that a subject granted, of every type, to one client and in one session when given.

        Device authorizations and pushed requests of the subject are among it. What was redeemed or rotated before can't
        issue anything after.

        Returns:
            How many records were removed; a lower bound after a fail-over.

        Raises:
            TypeError, ValueError: an id is no text, or empty: None in place of the subject would mean everybody.
        """
        check_filter_text("subject_id", subject_id)
        if client_id is not None:
            check_filter_text("client_id", client_id)
        return await self._revocation.remove(
            subject_id=subject_id,
            session_id=session_id,
            client_ids=None if client_id is None else [client_id],
        )

    async def revoke_before(self, instant: datetime) -> int:
        """Remove every grant of the tenant that was created before an instant, and device authorizations likewise.

        For after a raw restore from a backup, in which grants live that were revoked since it was made: name the instant
        of the restore, and everybody signs in again. Sessions are ended with `sessions.end`. It reads all grants of the
        tenant and may be repeated.

        Args:
            instant: aware; grants created at it or later stay.

        Returns:
            How many records were removed; a lower bound after a fail-over.

        Raises:
            TypeError, ValueError: it is no aware datetime.
            StorageUnavailable: MongoDB did not answer; what is gone stays gone, repeat it.
        """
        return await self._revocation.remove_created_before(instant)

    async def remove_family(self, family: str) -> int:
        """Revoke a code's or token's whole family, and give the number of records removed (RFC 6749 §4.1.2).

        The family takes nothing in any more: what is still being issued into it is refused with `NotFound`. For good,
        where it is a code's or token's; for an hour, where the caller has named it.

        Args:
            family: from `Redemption.family` or `Rotation.family`, or named by the caller when it was stored.

        Raises:
            TypeError: it is no text: None must not be taken for nothing to do.
        """
        if not isinstance(family, str):
            raise TypeError(f"family must be a str, not {type(family).__name__}")
        return await self._records.remove_family(family)


def _scopes(value: Consent | AuthorizationCode | RefreshToken | Token) -> Iterable[str]:
    match value:
        case AuthorizationCode():
            return value.requested_scopes
        case RefreshToken():
            return value.authorized_scopes
        case _:
            return value.scopes or ()


def _merged(subject_id: str, client_id: str, parts: list[_Part]) -> Grant:
    grants = [part.grant for part in parts]
    expirations: list[datetime] = [grant.expiration for grant in grants if grant.expiration is not None]
    return Grant(
        subject_id=subject_id,
        client_id=client_id,
        description=next((grant.description for grant in grants if grant.description), None),
        scopes=sorted({scope for part in parts for scope in part.scopes}),
        creation_time=min(grant.creation_time for grant in grants),
        expiration=max(expirations) if len(expirations) == len(grants) else None,
    )
