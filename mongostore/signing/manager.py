"""Gives a server the keys that sign and validate its tokens, and replaces them in time, on any number of nodes.

Nothing runs in the background: a request that finds a key due makes it. Whoever makes one adds it to the very keys that it
decided from; where another node was faster it reads again, and mostly finds nothing left to do.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from secrets import token_hex
from typing import Any

from mongostore.clock import Clock
from mongostore.errors import ConfigurationError, KeyUnavailable, MongostoreError, PayloadUnreadable
from mongostore.models import SerializedKey
from mongostore.signing.key_cache import KeyCache, KeySet
from mongostore.signing.key_material import SigningCredentials, ValidationKey, generate, parse, serialize
from mongostore.signing.options import SigningOptions
from mongostore.signing.policy import (
    KnownKey,
    awaited_key,
    cache_duration,
    current_key,
    decide,
    may_create,
    present_keys,
    published_keys,
    retirement,
)
from mongostore.stores.arguments import check_text
from mongostore.stores.signing_keys import SigningKeyRecord, SigningKeyRecords

_log = logging.getLogger("mongostore")

_KEY_ID_BYTES = 16


class SigningManager:
    """The signing keys of one tenant in use.

    Every method may read and add keys, and raises `StorageUnavailable` when the database does not answer then. While the
    keys at hand are fresh (`SigningOptions.key_cache_duration`), only `rotate` does.
    """

    def __init__(self, records: SigningKeyRecords, options: SigningOptions, clock: Clock) -> None:
        """Args: where keys are kept, when they are replaced, and the time."""
        self._records = records
        self._options = options
        self._clock = clock
        self._cache = KeyCache()
        # Parsing an RSA key is dear, so it is done once for as long as the key is stored.
        self._parsed: dict[SerializedKey, SigningCredentials | PayloadUnreadable] = {}
        self._refreshing: asyncio.Task[KeySet] | None = None

    async def get_signing_credentials(self, algorithm: str | None = None) -> SigningCredentials | None:
        """The key that signs now; a tenant that has none gets its first.

        Args:
            algorithm: one of `SigningOptions.signing_algorithms`; None for the first of them.

        Returns:
            None only when `SigningOptions.enabled` is False.

        Raises:
            ValueError: the algorithm is not configured.
            KeyUnavailable, PayloadUnreadable: there are keys that can't be read; no more are made.
        """
        algorithm = self._configured(algorithm)
        if not self._options.enabled:
            return None
        now = self._clock.now()
        held = await self._fresh(now)
        present = present_keys(held.store_time_at(now), held.keys, self._options)
        key = current_key(now, present, algorithm, self._options)
        if key is None:
            raise _refusal(held)
        return held.credentials[key.id]

    async def get_validation_keys(self) -> list[ValidationKey]:
        """The keys that tokens are validated with, announced ones included, oldest first; none when not enabled.

        Raises:
            KeyUnavailable, PayloadUnreadable: there are keys, and not one can be read.
        """
        if not self._options.enabled:
            return []
        now = self._clock.now()
        held = await self._fresh(now)
        published = published_keys(held.store_time_at(now), held.keys, self._options)
        if not published:
            raise _refusal(held)
        return [held.credentials[key.id].validation_key for key in published]

    async def jwks(self) -> dict[str, Any]:
        """The validation keys as a JWK Set (RFC 7517 §5), to be published as it is; no private part is in it.

        Raises:
            KeyUnavailable, PayloadUnreadable: as `get_validation_keys`.
        """
        return {"keys": [key.public_jwk() for key in await self.get_validation_keys()]}

    async def rotate(self, algorithm: str | None = None) -> ValidationKey:
        """Make a new key, which signs instead of all older ones as soon as it is propagated (`propagation_time`).

        When one that is not yet active was announced already, or is being added by another node, that one is returned
        instead. The old key goes on validating until it is retired; `signing_keys.delete_key` ends it at once.

        Args:
            algorithm: one of `SigningOptions.signing_algorithms`; None for the first of them.

        Raises:
            ValueError: the algorithm is not configured.
            ConfigurationError: signing keys are not enabled.
            KeyUnavailable, PayloadUnreadable: there are keys that can't be read; no more are made.
        """
        algorithm = self._configured(algorithm)
        if not self._options.enabled:
            raise ConfigurationError("there are no signing keys to rotate: SigningOptions.enabled is False")
        held = await self._read()
        seen = held.generation
        while True:
            added = [key for key in held.keys if key.generation > seen and key.algorithm == algorithm and key.readable]
            present = present_keys(held.store_time, held.keys, self._options)
            key = awaited_key(held.read_at, present, algorithm, self._options) or next(iter(added), None)
            if key is not None:
                self._keep(held)
                return held.credentials[key.id].validation_key
            if not may_create(held.store_time, held.keys, algorithm, self._options):
                raise _refusal(held)
            await self._add(algorithm, after=held.generation, supersedes=True)
            held = await self._read()

    async def rotate_if_due(self) -> int:
        """Make the keys that are due and delete those that are retired, ahead of the next use.

        Use does this by itself; this is for a tenant that signs nothing for a while (`store.maintenance` calls it). A
        tenant without keys gets none.

        Returns:
            How many keys were made, here or by another node meanwhile.

        Raises:
            KeyUnavailable, PayloadUnreadable: a key is due, and there are keys that can't be read; no more are made.
        """
        if not self._options.enabled:
            return 0
        now = self._clock.now()
        snapshot = await self._records.read_unopened()
        seen = [_known(record, now, readable=True) for record in snapshot.records]
        plan = decide(now, snapshot.read_at or now, seen, self._options)
        if not seen or not (plan.create or plan.delete):
            return 0
        held = await self._refreshed()
        if decide(held.read_at, held.store_time, held.keys, self._options).blocked:
            raise _refusal(held)
        return held.generation - snapshot.generation

    def _configured(self, algorithm: str | None) -> str:
        names = self._options.signing_algorithms
        if algorithm is None:
            return names[0]
        if check_text("algorithm", algorithm) not in names:
            raise ValueError(
                f"{algorithm[:40]!r} is not among SigningOptions.signing_algorithms, which are {', '.join(names)}"
            )
        return algorithm

    async def _fresh(self, now: datetime) -> KeySet:
        """Keys that may be used, none of them due. Any number of callers share one read, and its failure."""
        held = self._cache.get(now)
        if held is not None and not decide(now, held.store_time_at(now), held.keys, self._options).create:
            return held
        return await self._refreshed()

    async def _refreshed(self) -> KeySet:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        # Shielded: a caller that gives up must not take it away from the others.
        return await asyncio.shield(self._refreshing)

    async def _refresh(self) -> KeySet:
        """Read, and make what is due, until nothing is. Only keys that were read back are used."""
        while True:
            held = await self._read()
            plan = decide(held.read_at, held.store_time, held.keys, self._options)
            if not plan.create:
                await self._delete(plan.delete)
                self._keep(held)
                return held
            generation = held.generation
            for algorithm in plan.create:
                if not await self._add(algorithm, after=generation):
                    break
                generation += 1

    async def _read(self) -> KeySet:
        now = self._clock.now()
        snapshot = await self._records.read()
        stored = [record.key for record in snapshot.records if record.key is not None]
        unknown = [key for key in stored if key not in self._parsed]
        parsed = self._parsed | (await asyncio.to_thread(_parse_all, unknown) if unknown else {})
        self._parsed = {key: parsed[key] for key in stored}

        keys: list[KnownKey] = []
        credentials: dict[str, SigningCredentials] = {}
        damage = [record.damage for record in snapshot.records if record.damage is not None]
        for record in snapshot.records:
            found = parsed[record.key] if record.key is not None else None
            if isinstance(found, SigningCredentials):
                credentials[record.id] = found
            elif found is not None:
                damage.append(found)
            keys.append(_known(record, now, readable=isinstance(found, SigningCredentials)))
        if damage:
            _log.error("%d of %d signing keys can't be used: %s", len(damage), len(keys), damage[0])
        return KeySet(now, snapshot.read_at or now, snapshot.generation, tuple(keys), credentials, tuple(damage))

    async def _add(self, algorithm: str, *, after: int, supersedes: bool = False) -> bool:
        key = await asyncio.to_thread(_new_key, algorithm, self._clock.now(), self._options)
        added = await self._records.add(key, after=after, supersedes=supersedes)
        if added:
            _log.info("signing key %s was made for %s", key.id, algorithm)
        return added

    async def _delete(self, keys: Sequence[KnownKey]) -> None:
        try:
            for key in keys:
                await self._records.retire(key.generation, retirement(key, self._options))
        except MongostoreError as error:
            # They are not published any more, and the next read finds them again.
            _log.warning("retired signing keys were not deleted: %s", error)

    def _keep(self, held: KeySet) -> None:
        if held.credentials:
            self._cache.put(held, cache_duration(held.read_at, held.keys, self._options))


def _parse_all(keys: Sequence[SerializedKey]) -> dict[SerializedKey, SigningCredentials | PayloadUnreadable]:
    parsed: dict[SerializedKey, SigningCredentials | PayloadUnreadable] = {}
    for key in keys:
        try:
            parsed[key] = parse(key)
        except PayloadUnreadable as error:
            parsed[key] = error
    return parsed


def _new_key(algorithm: str, created: datetime, options: SigningOptions) -> SerializedKey:
    certified = algorithm in options.certificate_algorithms
    validity = (created, created + options.retirement_age) if certified else None
    return serialize(generate(algorithm, token_hex(_KEY_ID_BYTES).upper(), options.rsa_key_size, validity), created)


def _known(record: SigningKeyRecord, now: datetime, *, readable: bool) -> KnownKey:
    return KnownKey(
        record.generation,
        record.id,
        record.algorithm,
        record.created or now,
        stored=record.stored,
        supersedes=record.supersedes,
        # Where the key was not opened: as its algorithm is now to be.
        certified=record.key is None or record.key.is_x509_certificate,
        readable=readable,
        lost=record.damage is not None,
    )


def _refusal(held: KeySet) -> KeyUnavailable | PayloadUnreadable:
    """Make the error for keys that should be there, and are, but can't be used."""
    lost = ", ".join(key.id[:100] for key in held.keys if not key.readable)
    message = (
        f"{len(held.damage)} of {len(held.keys)} signing keys can't be used, and no more are made in their place: "
        f"restore the key ring, or, when they are lost for good, delete them with signing_keys.delete_key ({lost}). "
        f"The first problem: {held.damage[0]}"
    )
    first = held.damage[0]
    if isinstance(first, KeyUnavailable):
        return KeyUnavailable(message, key_id=first.key_id)
    return PayloadUnreadable(message, collection="signing_keys")
