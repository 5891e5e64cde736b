"""Refresh tokens: rotation that survives a lost response, replay that revokes the family (RFC 9700 §4.14)."""

from datetime import timedelta

from mongostore.clock import Clock
from mongostore.errors import NotFound, PayloadUnreadable
from mongostore.grants.families import insert_into_family
from mongostore.grants.handles import new_handle
from mongostore.grants.outcomes import Rotation
from mongostore.grants.typed_grants import GrantSerializer
from mongostore.models import PersistedGrant, PersistedGrantFilter, PersistedGrantType, RefreshToken
from mongostore.models.grants import check_filter_text
from mongostore.models.instants import expiration_of
from mongostore.stores.arguments import check_duration
from mongostore.stores.grant_records import GrantRecord, GrantRecordStore, later
from mongostore.stores.persisted_grants import PersistedGrantStore

# A pending successor outlives the grace by this much: a retry at its very end still finds it, and a node whose clock is
# behind that of the server does not lose it to the TTL.
PENDING_MARGIN = timedelta(hours=1)


class RefreshTokens:
    """The refresh tokens of one tenant."""

    def __init__(self, records: GrantRecordStore, grants: PersistedGrantStore, clock: Clock) -> None:
        """Args: the transitions and the plain operations of the same grants, and the time."""
        self._records = records
        self._grants = grants
        self._clock = clock
        self._serializer = GrantSerializer(PersistedGrantType.RefreshToken, RefreshToken)

    async def store_refresh_token(self, token: RefreshToken, *, family: str | None = None) -> str:
        """Keep a token until its lifetime is over.

        Args:
            token: the token.
            family: of the redeemed code that it is issued from (`Redemption.family`); one of its own without.

        Returns:
            The handle for the client: 64 upper-case hex digits and `-1`. It is not stored and can't be had again.

        Raises:
            TypeError, ValueError: not a token, or one that can't be stored.
            NotFound: the family was removed meanwhile; nothing was stored.
            StorageUnavailable: no majority confirmed it in time.
        """
        handle = new_handle()
        grant = self._grant(token, self._serializer.key(handle))
        await insert_into_family(self._records, grant, family)
        return handle

    async def get_refresh_token(self, handle: str) -> RefreshToken | None:
        """Look a token up; a used one comes with its `consumed_time`. None when unknown, expired or revoked."""
        found = self._serializer.of_type(await self._records.find(self._serializer.key(handle)))
        return self._token(found.grant) if found else None

    async def update_refresh_token(self, handle: str, token: RefreshToken) -> None:
        """Replace what a token says, keeping its handle and family. Setting `consumed_time` uses it up.

        Raises:
            NotFound: it is unknown, expired, revoked, or used already; nothing was written.
            TypeError, ValueError: not a token, or one that can't be stored.
        """
        if not await self._records.update(self._grant(token, self._serializer.key(handle))):
            raise NotFound("the refresh token is not there any more, or has been used: it was not updated")

    async def remove_refresh_token(self, handle: str) -> None:
        """Revoke a token and its whole family (RFC 7009 §2.1); nothing happens when there is none."""
        key = self._serializer.key(handle)
        found = self._serializer.of_type(await self._records.find(key, kept=True))
        if found is None:
            await self._grants.remove(key)
            # Of a token that was stored raw; a call before may have failed halfway.
            await self._records.remove_family(key)
        else:
            await self._revoke(found)

    async def remove_refresh_tokens(self, subject_id: str, client_id: str) -> int:
        """Revoke every refresh token that a client has for a subject, and give the number of records removed.

        Raises:
            TypeError, ValueError: an id is no text, or empty: None would mean everybody.
        """
        check_filter_text("subject_id", subject_id)
        check_filter_text("client_id", client_id)
        return await self._grants.remove_all(
            PersistedGrantFilter(subject_id=subject_id, client_id=client_id, type=PersistedGrantType.RefreshToken.value)
        )

    async def rotate_refresh_token(
        self, handle: str, successor: RefreshToken, *, grace: timedelta = timedelta(0)
    ) -> Rotation:
        """Use a token up and put its successor in its place: decided by one atomic write on the old token.

        Args:
            handle: of the token that the client presents.
            successor: what replaces it: same subject, client and session; its times are taken as given.
            grace: for how long after the first use a second one is taken for a retry after a lost response, and answered
                with the same handle. Without any, every second use is a replay.

        Returns:
            "rotated" to one caller. "retried" with the same handle inside the grace, as long as the successor has
            neither been used nor removed. "replayed" for every other second use: the family is revoked, and `token` is
            the old token. "unknown" when there is no such token, it was revoked meanwhile, or its successor has expired
            unused. `family` is what to issue access tokens into.

        Raises:
            TypeError, ValueError: the successor is no token, can't be stored, or belongs to somebody else.
            StorageUnavailable: no answer in time; call again with the same handle: nothing is lost inside the grace.

        The successor is written before the old token is used up, invisibly, and made visible after: whatever step a crash
        or a revocation falls between, no token is lost, doubled or brought back. See RFC 9700 §4.14.2.
        """
        check_duration("grace", grace, may_be_zero=True)
        successor = self._serializer.checked(successor)
        key = self._serializer.key(handle)
        old = self._serializer.of_type(await self._records.find(key, kept=True))
        if old is None:
            return Rotation("unknown")
        token = self._token(old.grant)
        _check_successor(token, successor)
        if old.grant.consumed_time is not None:
            return await self._second_use(old, token, grace)

        new = new_handle()
        grant = self._grant(successor, self._serializer.key(new))
        pending = GrantRecord(grant, family=_family_of(old), predecessor=key)
        await self._records.insert(pending, pending_until=later(self._clock.now(), grace + PENDING_MARGIN))
        if not await self._records.succeed(old, successor=grant, successor_handle=new, grace=grace):
            await self._records.discard_pending(grant.key)
            old = self._serializer.of_type(await self._records.find(key, kept=True))
            if old is None or old.grant.consumed_time is None:
                return Rotation("unknown")
            return await self._second_use(old, token, grace)
        if not await self._records.make_live(grant.key):
            return Rotation("unknown")
        return Rotation("rotated", new, successor, _family_of(old))

    async def _second_use(self, old: GrantRecord, token: RefreshToken, grace: timedelta) -> Rotation:
        used = old.grant.consumed_time
        # Without a grace nothing is a retry, not even where this node's clock is behind that of the one that used it.
        in_grace = bool(grace) and used is not None and self._clock.now() < later(used, grace)
        if in_grace and old.successor_key and old.successor_handle:
            if self._serializer.key(old.successor_handle) != old.successor_key:
                raise PayloadUnreadable(
                    "the successor that a used refresh token names is not the one that its handle belongs to: the record "
                    "was changed from outside. Revoke the token with remove_refresh_token",
                    collection="grants",
                )
            if await self._records.make_live(old.successor_key):
                return await self._retried(old)
            if old.successor_expiration is not None and old.successor_expiration <= self._clock.now():
                # Nobody has used or revoked it: its time was over before the retry came.
                return Rotation("unknown")
        await self._revoke(old)
        return Rotation("replayed", token=token.model_copy(update={"consumed_time": used}), family=_family_of(old))

    async def _retried(self, old: GrantRecord) -> Rotation:
        successor = self._serializer.of_type(await self._records.find(str(old.successor_key)))
        if successor is None:
            return Rotation("unknown")
        retries = await self._records.count_retry(old.grant.key)
        return Rotation("retried", old.successor_handle, self._token(successor.grant), _family_of(old), retries)

    async def _revoke(self, record: GrantRecord) -> None:
        if record.family is None:
            # It founds the family without being in it: until it was gone, a rotation could still add to it.
            await self._grants.remove(record.grant.key)
        await self._records.remove_family(_family_of(record), last=record.grant.key)

    def _grant(self, token: RefreshToken, key: str) -> PersistedGrant:
        token = self._serializer.checked(token)
        return self._serializer.grant(
            token,
            key,
            client_id=token.client_id,
            subject_id=token.subject_id,
            session_id=token.session_id,
            description=token.description,
            creation_time=token.creation_time,
            expiration=expiration_of(token.creation_time, token.lifetime),
            consumed_time=token.consumed_time,
        )

    def _token(self, grant: PersistedGrant) -> RefreshToken:
        # When it was used is a fact of the record, written by the transition, not of the sealed data.
        return self._serializer.value(grant).model_copy(update={"consumed_time": grant.consumed_time})


def _family_of(record: GrantRecord) -> str:
    # A token that was stored raw has no family; its successors are found by its key.
    return record.family or record.grant.key


def _check_successor(token: RefreshToken, successor: RefreshToken) -> None:
    for name in ("subject_id", "client_id", "session_id"):
        if getattr(token, name) != getattr(successor, name):
            raise ValueError(f"the successor's {name} differs from that of the token that it replaces")
    if successor.consumed_time is not None:
        raise ValueError("the successor has a consumed_time: a new token is not used yet")
