"""The data keys of one tenant: found, made, replaced and destroyed; in memory for as long as they may be used.

A key seals only after its record was read back from the store, and no key is stored in clear.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from mongostore.clock import Clock
from mongostore.errors import KeyUnavailable, MongostoreError, StorageUnavailable
from mongostore.protection.key_ring_status import KeyRingStatus, describe_ring
from mongostore.protection.keyed_hash import keyed_hash
from mongostore.protection.master_keys import MasterKey
from mongostore.protection.ring_snapshot import DataKey, RingSnapshot, take_snapshot
from mongostore.protection.rotation import KeyRotationPolicy, decide_rotation, newest_generation
from mongostore.protection.wrapped_keys import CONTEXT_VERSION, new_record, rewrap
from mongostore.protection.xaes_gcm import XAES256GCM
from mongostore.stores.data_keys import DataKeyStore, KeyPurpose

_logger = logging.getLogger(__name__)

# Frozen: a tenant's key for keyed hashes is stored under this generation; data keys count from 1.
_HASH_GENERATION: Final = 0
# Stores look at numbers of up to ten digits.
_MAX_GENERATION: Final = 9_999_999_998

# After a look-up that brought nothing, the next one for the same reason waits: garbage must cost the database little.
_RETRY_AFTER: Final = timedelta(seconds=5)
_MOST_FRUITLESS: Final = 5
# Nodes that store keys at the same time lose generations to one another.
_MOST_TRIES: Final = 10


class TenantKeyRing:
    """The keys of one tenant.

    What was read is used for `refresh_interval`. Then the next seal reads the ring again before it goes on, and raises
    `StorageUnavailable` when that fails, as the write that it seals for would; opening goes on with the keys at hand
    while the ring is read in the background.
    """

    def __init__(
        self,
        tenant: str,
        store: DataKeyStore,
        master_key: MasterKey,
        *,
        clock: Clock,
        policy: KeyRotationPolicy,
        refresh_interval: timedelta,
    ) -> None:
        self.tenant = tenant
        self._store = store
        self._master_key = master_key
        self._clock = clock
        self._policy = policy
        self._refresh_interval = refresh_interval

        self._ring = RingSnapshot(tenant)
        self._loading = asyncio.Lock()
        self._loads_begun = 0
        self._last_load_done = 0
        self._creating = asyncio.Lock()
        self._unknown_keys: dict[bytes, datetime] = {}
        # Between these, the ring is fresh, and it was looked at lately whether a rotation is due.
        self._seals_from = self._seals_until = datetime.min.replace(tzinfo=UTC)
        self._background: dict[str, asyncio.Task[None]] = {}
        self._refresh_begun: datetime | None = None

    async def open(self) -> None:
        """Read the ring and unwrap its keys, so that a wrong master key is found at the start. No key is made.

        Raises:
            KeyUnavailable: the master key does not open the key that seals now, or the one for keyed hashes.
            StorageUnavailable: the store, or the service that keeps the master key, did not answer.
        """
        ring = await self._load()
        if ring.is_destroyed:
            return
        ring.raise_if_refused()
        if ring.find(_HASH_GENERATION) is not None:
            ring.require_hash_key()

    def cached_sealing_key(self) -> DataKey | None:
        """The key that seals now, if it was read recently enough; otherwise ask `sealing_key`."""
        now = self._clock.now()
        return self._ring.sealing if self._seals_from <= now < self._seals_until else None

    async def sealing_key(self) -> DataKey:
        """The key that seals now; a tenant that has none gets one: its first, or the first under a new master key.

        Raises:
            KeyUnavailable: the tenant's keys were destroyed, or the master key does not open the one that seals.
            StorageUnavailable: the store, or the service that keeps the master key, did not answer.
        """
        ring = self._ring
        if ring.sealing is None or not ring.is_fresh(self._clock.now()):
            ring = await self._load()
        # A generation may have gone to a node with another master key.
        for _ in range(_MOST_TRIES):
            if not ring.needs_key:
                break
            ring = await self._create(newest_generation(ring.records) + 1, "data", self._clock.now())
        sealing = ring.require_sealing_key()
        now = self._clock.now()
        if decide_rotation(now, ring.choice.sealable, self._policy) is not None:
            self._in_background("rotated", self.rotate_if_due)
        self._seals_from = max(now, ring.fresh_from)
        self._seals_until = min(now + self._refresh_interval, ring.fresh_until)
        return sealing

    def cached_opening_key(self, key_id: bytes) -> XAES256GCM | None:
        """The cipher of a data key, if it is at hand; otherwise ask `opening_key`."""
        cipher = self._ring.ciphers.get(key_id)
        now = self._clock.now()
        if cipher is None or self._ring.is_fresh(now) or self._is_within(_RETRY_AFTER, self._refresh_begun, now):
            return cipher
        self._refresh_begun = now
        self._in_background("refreshed", self._load)
        return cipher

    async def opening_key(self, key_id: bytes) -> XAES256GCM:
        """The cipher of a data key. One that is not at hand is looked for in the store, unless too many were, in vain.

        What names keys that there are not costs the store at most 5 reads in 5 seconds, one for each id.

        Raises:
            KeyUnavailable: the key is not in the ring, was destroyed, or is not opened by the master key.
            StorageUnavailable: the store did not answer.
        """
        now = self._clock.now()
        if key_id not in self._ring.ciphers:
            lately = {each: at for each, at in self._unknown_keys.items() if self._is_within(_RETRY_AFTER, at, now)}
            self._unknown_keys = lately
            if key_id not in lately and len(lately) < _MOST_FRUITLESS and key_id not in (await self._load()).ciphers:
                self._unknown_keys[key_id] = now
        return self._ring.require_opening_key(key_id)

    async def has(self, key_id: bytes) -> bool:
        """Whether a data key is at hand, in the ring as it was at most `refresh_interval` ago.

        For what strangers hand in: no id that they make up has the ring read for its sake.

        Raises:
            StorageUnavailable: the ring was to be read again, and the store did not answer.
        """
        ring = self._ring if self._ring.is_fresh(self._clock.now()) else await self._load()
        return key_id in ring.ciphers

    async def keyed_hash(self, purpose: str, value: str) -> bytes:
        """Hash a short value to store it, 32 bytes, under a key that rotation leaves alone; it is made on first use.

        Args:
            purpose: what the value is ("user_code"); equal values of two purposes have different hashes.

        Raises:
            KeyUnavailable: the tenant's keys were destroyed, or the master key does not open the one for hashes.
            StorageUnavailable: the store, or the service that keeps the master key, did not answer.
        """
        ring = self._ring if self._ring.hash_record() is not None else await self._load()
        if ring.hash_record() is None:
            ring.raise_if_refused()
            ring = await self._create(_HASH_GENERATION, "hash", self._clock.now())
        return keyed_hash(ring.require_hash_key(), purpose, value)

    async def find_keyed_hash(self, purpose: str, value: str) -> bytes | None:
        """Hash a short value to look it up. No key is made: without one nothing was stored, and None is returned.

        Raises:
            KeyUnavailable, StorageUnavailable: as `keyed_hash`.
        """
        ring = self._ring if self._ring.hash_record() is not None else await self._load()
        ring.raise_if_destroyed()
        return None if ring.hash_record() is None else keyed_hash(ring.require_hash_key(), purpose, value)

    async def status(self) -> KeyRingStatus:
        """Read the ring and describe it. Raises `StorageUnavailable`."""
        ring = await self._load()
        return describe_ring(self._clock.now(), ring, self._master_key.id)

    async def rotate(self) -> KeyRingStatus:
        """Make a new data key that seals from now on; when another node does so at the same time, its key does.

        Nodes that have not read the ring since go on with the old key for at most `refresh_interval`.

        Raises:
            KeyUnavailable: the tenant's keys were destroyed, or the master key does not open the youngest.
            StorageUnavailable: it is not known whether there is a new key; `status` tells.
        """
        ring = self._ring if self._ring.sealing is not None else await self._load()
        held = newest_generation(ring.records)
        for _ in range(_MOST_TRIES):
            ring.raise_if_refused()
            ring = await self._create(newest_generation(ring.records) + 1, "data", self._clock.now())
            # A lost insert may have met a key that is only announced: go past it.
            if ring.choice.active is not None and ring.choice.active.generation > held:
                break
        ring.require_sealing_key()
        return describe_ring(self._clock.now(), ring, self._master_key.id)

    async def rotate_if_due(self) -> bool:
        """Store the next data key ahead of its activation when the policy says so, if no other node has.

        A tenant without a data key gets none, nor does one whose keys were destroyed. One whose keys were all made under
        other master keys gets one that seals at once.

        Returns:
            Whether a key was due; the ring then has it.

        Raises:
            KeyUnavailable, StorageUnavailable: as `rotate`.
        """
        ring = await self._load()
        now, newest = self._clock.now(), newest_generation(ring.records)
        activates_at = now if newest and ring.needs_key else decide_rotation(now, ring.choice.sealable, self._policy)
        if activates_at is not None:
            await self._create(newest + 1, "data", activates_at)
        return activates_at is not None

    async def rewrap(self) -> int:
        """Wrap every key that another master key wrapped by the current one. It may be repeated, and run anywhere.

        A data key that another master key wrapped opens only from then on. Keys that a former version stored are bound to
        their times, too.

        Returns:
            How many records were changed.

        Raises:
            KeyUnavailable: a key is opened by none of the master keys given, or was damaged; all others are rewrapped.
            StorageUnavailable: the store did not answer; repeat it.
        """
        ring = await self._load()
        changed, failure = 0, None
        for record in () if ring.is_destroyed else ring.records:
            if record.master_key_id != self._master_key.id or record.context_version != CONTEXT_VERSION:
                try:
                    changed += await self._store.replace_wrapped(await rewrap(self._master_key, record), record)
                except KeyUnavailable as error:
                    failure = failure or error
        await self._load()
        if failure is not None:
            raise failure
        return changed

    async def destroy(self) -> int:
        """Erase every key of the tenant for good: nothing that they sealed can be read again, nothing new be sealed.

        Other nodes stop sealing within `refresh_interval`, and opening at their next use after it. Backups that hold
        the ring still hold the keys, wrapped.

        Returns:
            How many data keys were destroyed.

        Raises:
            StorageUnavailable: it is not known whether it happened; repeat it.
        """
        live = [record for record in (await self._load()).records if not record.is_destroyed]
        # A key that another node was storing may have come in behind the first pass.
        while await self._store.destroy(self.tenant, self._clock.now()):
            pass
        await self._load()
        return sum(record.purpose == "data" for record in live)

    async def close(self) -> None:
        """Stop what runs in the background and forget the keys."""
        for task in self._background.values():
            task.cancel()
        await asyncio.gather(*self._background.values(), return_exceptions=True)
        self._ring = RingSnapshot(self.tenant)

    async def _load(self) -> RingSnapshot:
        """Read the ring; of any number of callers at once, one reads for all that called before it began."""
        asked_after = self._loads_begun
        async with self._loading:
            if self._last_load_done <= asked_after:
                self._loads_begun = this_load = self._loads_begun + 1
                now = self._clock.now()
                self._ring = await take_snapshot(
                    await self._store.load(self.tenant),
                    self._master_key,
                    now=now,
                    refresh_interval=self._refresh_interval,
                    previous=self._ring,
                )
                self._seals_from = max(self._seals_from, self._ring.fresh_from)
                self._seals_until = min(self._seals_until, self._ring.fresh_until)
                self._last_load_done = this_load
            return self._ring

    async def _create(self, generation: int, purpose: KeyPurpose, activates_at: datetime) -> RingSnapshot:
        """Store a key under `generation`, unless somebody has, and read back what is there."""
        async with self._creating:
            self._ring.raise_if_destroyed()
            if self._ring.find(generation) is not None:
                return self._ring
            if generation > _MAX_GENERATION:
                raise KeyUnavailable(
                    f"the key ring of tenant {self.tenant} has no generation left: its record "
                    f"{self.tenant}|{generation - 1} was put there from outside; remove it"
                )
            record = await new_record(
                self._master_key,
                tenant=self.tenant,
                generation=generation,
                purpose=purpose,
                created=self._clock.now(),
                activates_at=activates_at,
            )
            failure: StorageUnavailable | None = None
            try:
                await self._store.insert(record)
            except StorageUnavailable as error:
                # It may have been stored, or be stored yet: only reading tells, and only what was read seals.
                failure = error
            ring = await self._load()
            if ring.find(generation) is None:
                why = "try again" if failure is None else str(failure)
                raise StorageUnavailable(
                    f"key generation {generation} of tenant {self.tenant} was not stored: {why}"
                ) from failure
            return ring

    def _in_background(self, what: str, work: Callable[[], Awaitable[object]]) -> None:
        """Run `work` beside the caller, unless the same is running."""
        running = self._background.get(what)
        if running is None or running.done():
            self._background[what] = asyncio.create_task(self._run_logged(what, work))

    async def _run_logged(self, what: str, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except MongostoreError as error:
            _logger.warning("The key ring of tenant %s was not %s: %s", self.tenant, what, error)

    @staticmethod
    def _is_within(period: timedelta, since: datetime | None, now: datetime) -> bool:
        """True for `period` after `since`; a clock that has jumped back behind it ends it."""
        return since is not None and since <= now < since + period
