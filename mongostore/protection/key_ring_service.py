"""The key ring as an operator works with it: `store.key_ring`."""

from collections.abc import Sequence
from datetime import timedelta

from mongostore.protection.key_ring import KeyRing
from mongostore.protection.key_ring_status import KeyRingStatus
from mongostore.protection.reencrypt import DEFAULT_BATCH_SIZE, OnProgress, Reencryption, ReencryptionResult
from mongostore.stores.sealed_records import SealedRecordStore
from mongostore.tenancy import Tenant
from mongostore.tenancy import tenant as checked_tenant


class KeyRingService:
    """Looks after the keys of one tenant; rotation by the policy needs none of this."""

    def __init__(self, key_ring: KeyRing, bound_to: Tenant, sealed_records: Sequence[SealedRecordStore] = ()) -> None:
        """Args: the rings of all tenants, whose this is, and where the tenant's sealed values lie."""
        self._key_ring = key_ring
        self._tenant = bound_to
        self._sealed_records = sealed_records

    async def status(self) -> KeyRingStatus:
        """Read the ring and describe it; it tells no key.

        Raises:
            StorageUnavailable: the store did not answer.
        """
        return await self._key_ring.for_tenant(self._tenant).status()

    async def rotate(self) -> KeyRingStatus:
        """Make a new data key that seals from now on; when another node does so at the same time, its key does.

        Other nodes go on with the old key for at most a minute, until they read the ring again.

        Raises:
            KeyUnavailable: the tenant's keys were destroyed, or the master key does not open the new one.
            StorageUnavailable: it is not known whether there is a new key; `status` tells.
        """
        return await self._key_ring.for_tenant(self._tenant).rotate()

    async def rotate_if_due(self) -> int:
        """Store the next data key ahead of its activation when the policy says so (`StoreOptions.key_rotation`).

        Use does this by itself; this is for a tenant that stores nothing for a while (`store.maintenance` calls it). No
        first key is made.

        Returns:
            How many keys were due: 1, and the ring then has it, or 0.

        Raises:
            KeyUnavailable, StorageUnavailable: as `rotate`.
        """
        return int(await self._key_ring.rotate_if_due(self._tenant))

    async def rewrap(self) -> int:
        """Wrap the keys of every tenant by the current master key, which all of them share.

        To replace a master key: give every node `MasterKeyChain(old, new)`, then every node `MasterKeyChain(new, old)`, run
        this, then drop the old one. Sealed values are not touched. Data keys that were made under the old one open only
        from then on, and a new one is made at the next seal, unless it was already. It may be repeated, and run anywhere.

        It also binds keys that a former version stored to all that their records say of them.

        Returns:
            How many keys were wrapped anew.

        Raises:
            KeyUnavailable: a key is opened by none of the master keys given, or was damaged; all others are rewrapped.
            StorageUnavailable: the store, or the service that keeps the master key, did not answer; repeat it.
        """
        return await self._key_ring.rewrap()

    async def reencrypt(
        self,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        pause: timedelta = timedelta(0),
        on_progress: OnProgress | None = None,
    ) -> ReencryptionResult:
        """Seal anew, by the active data key, every value of the tenant that another one sealed.

        The store may be in use meanwhile: a value that somebody changes is left as they wrote it. What does not open
        is counted, logged and left. When it was cut off, another run does the rest; of two runs at once, the second waits
        for up to 20 seconds. Run it a minute after `rotate` at the earliest: until then, other nodes may seal by the
        old key.

        Args:
            batch_size: how many records are looked at, and at most written, at a time; 1 to 10,000.
            pause: how long to rest after a batch that was written.
            on_progress: is told what was done so far, after every batch.

        Raises:
            KeyUnavailable: the tenant's keys were destroyed, or the master key does not open the active one.
            StorageUnavailable: MongoDB did not answer, or another run is not done yet. What was done stays; run it again.
            TypeError, ValueError: an argument has a wrong type or value.
        """
        run = Reencryption(self._key_ring, self._tenant, batch_size=batch_size, pause=pause, on_progress=on_progress)
        return await run.run(self._sealed_records)

    async def destroy(self, tenant: str) -> int:
        """Erase every key of a tenant for good: nothing that they sealed can be read again, nothing new be stored.

        The records stay, and so does a tombstone in the ring, so that no key is ever made anew. Other nodes stop
        sealing within a minute. Backups that hold the ring still hold the keys, wrapped: a tenant's data is gone
        for good once those are.

        Args:
            tenant: its slug; named each time, also on a store that is bound to it.

        Returns:
            How many data keys were destroyed; 0 when they were before, or when there were none.

        Raises:
            StorageUnavailable: it is not known whether it happened; repeat it.
            ValueError: it is no tenant's name.
        """
        return await self._key_ring.destroy(checked_tenant(tenant))
