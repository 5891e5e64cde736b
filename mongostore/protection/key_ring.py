"""The key rings of all tenants, over one store and one master key."""

from datetime import timedelta
from typing import Final

from mongostore.clock import Clock
from mongostore.errors import KeyUnavailable
from mongostore.protection.master_keys import MasterKey
from mongostore.protection.rotation import KeyRotationPolicy, decide_rotation
from mongostore.protection.sealing_choice import may_seal
from mongostore.protection.tenant_key_ring import TenantKeyRing
from mongostore.stores.data_keys import DataKeyStore

DEFAULT_REFRESH_INTERVAL: Final = timedelta(seconds=60)

# Looking up for tenants that do not exist must not fill the memory.
_MAX_RINGS: Final = 10_000


class KeyRing:
    """The key rings of all tenants, over one store and one master key."""

    def __init__(
        self,
        store: DataKeyStore,
        master_key: MasterKey,
        clock: Clock,
        *,
        policy: KeyRotationPolicy | None = None,
        refresh_interval: timedelta = DEFAULT_REFRESH_INTERVAL,
    ) -> None:
        """Make the rings; no input or output.

        Args:
            policy: when data keys are replaced.
            refresh_interval: how long a ring is used before it is read again: every node stops sealing with a
                destroyed key within it.
        """
        self._store = store
        self._master_key = master_key
        self._clock = clock
        self._policy = policy or KeyRotationPolicy()
        self._refresh_interval = refresh_interval
        self._rings: dict[str, TenantKeyRing] = {}

    def for_tenant(self, tenant: str) -> TenantKeyRing:
        """The ring of one tenant, always the same object; no input or output."""
        ring = self._rings.get(tenant)
        if ring is None:
            if len(self._rings) >= _MAX_RINGS:
                # Whoever is using it goes on with it; the next one reads the ring anew.
                del self._rings[next(iter(self._rings))]
            ring = self._rings[tenant] = TenantKeyRing(
                tenant,
                self._store,
                self._master_key,
                clock=self._clock,
                policy=self._policy,
                refresh_interval=self._refresh_interval,
            )
        return ring

    async def rewrap(self) -> int:
        """Wrap the keys of every tenant by the current master key; see `TenantKeyRing.rewrap`."""
        changed, failure = 0, None
        for tenant in await self._store.tenants():
            try:
                changed += await self.for_tenant(tenant).rewrap()
            except KeyUnavailable as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return changed

    async def rotate_if_due(self, tenant: str) -> bool:
        """Store a tenant's next data key when it is due; see `TenantKeyRing.rotate_if_due`.

        Mostly none is: then one read of the store is all, no key is unwrapped, and nothing is kept in memory.
        """
        records = await self._store.load(tenant)
        sealable = [record for record in records if may_seal(record, self._master_key.id)]
        has_data_key = any(record.purpose == "data" for record in records)
        if (sealable or not has_data_key) and decide_rotation(self._clock.now(), sealable, self._policy) is None:
            return False
        return await self.for_tenant(tenant).rotate_if_due()

    async def destroy(self, tenant: str) -> int:
        """Erase every key of a tenant for good; see `TenantKeyRing.destroy`."""
        return await self.for_tenant(tenant).destroy()

    async def close(self) -> None:
        """Stop what runs in the background and forget all keys."""
        rings = list(self._rings.values())
        self._rings.clear()
        for ring in rings:
            await ring.close()
