"""Seals anew what retired data keys sealed, so that after a rotation nothing depends on them."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.protector import SealingProtector
from mongostore.stores.arguments import check_callback, check_duration
from mongostore.stores.sealed_records import SealedRecordStore, SealedValue

_logger = logging.getLogger(__name__)

DEFAULT_BATCH_SIZE: Final = 500
_MAX_BATCH_SIZE: Final = 10_000


@dataclass(frozen=True, slots=True)
class ReencryptionCounts:
    """What became of the stale values of one collection.

    Attributes:
        reencrypted: sealed anew.
        changed: changed or removed by somebody else meanwhile, and therefore not touched.
        unreadable: left as they are, because they don't open.
    """

    reencrypted: int = 0
    changed: int = 0
    unreadable: int = 0

    def __add__(self, other: "ReencryptionCounts") -> "ReencryptionCounts":
        return ReencryptionCounts(
            self.reencrypted + other.reencrypted, self.changed + other.changed, self.unreadable + other.unreadable
        )


@dataclass(frozen=True, slots=True)
class ReencryptionResult:
    """What re-encryption has done, or done so far.

    Attributes:
        collections: by label ("grants").
    """

    collections: Mapping[str, ReencryptionCounts] = field(default_factory=dict)

    @property
    def total(self) -> ReencryptionCounts:
        """Over all collections."""
        return sum(self.collections.values(), ReencryptionCounts())


OnProgress = Callable[[ReencryptionResult], None]


class Reencryption:
    """One run over the sealed values of a tenant.

    It keeps no place: what the active key has sealed is not stale, so that another run finds the rest.
    """

    def __init__(
        self, key_ring: KeyRing, tenant: str, *, batch_size: int, pause: timedelta, on_progress: OnProgress | None
    ) -> None:
        """See `KeyRingService.reencrypt`."""
        if not isinstance(batch_size, int) or isinstance(batch_size, bool):
            raise TypeError(f"batch_size must be an int, not {type(batch_size).__name__}")
        if not 1 <= batch_size <= _MAX_BATCH_SIZE:
            raise ValueError(f"batch_size must be 1 to {_MAX_BATCH_SIZE}, not {batch_size}")
        check_duration("pause", pause, may_be_zero=True)
        check_callback("on_progress", on_progress, optional=True)
        self._keys = key_ring.for_tenant(tenant)
        self._protector = SealingProtector(key_ring)
        self._tenant = tenant
        self._batch_size = batch_size
        self._pause_seconds = pause.total_seconds()
        self._on_progress = on_progress
        self._counts: dict[str, ReencryptionCounts] = {}

    async def run(self, stores: Sequence[SealedRecordStore]) -> ReencryptionResult:
        """Seal anew what is stale, store by store."""
        for store in stores:
            async with store.exclusively():
                for label in store.labels:
                    await self._run_over(store, label)
        return ReencryptionResult(self._counts)

    async def _run_over(self, store: SealedRecordStore, label: str) -> None:
        after: str | None = ""
        while after is not None:
            # Asked for each page, because the policy may activate the next key meanwhile.
            active = self._keys.cached_sealing_key() or await self._keys.sealing_key()
            page = await store.find_stale(label, active.key_id, after=after, limit=self._batch_size)
            after = page.last
            before = self._counts.get(label, ReencryptionCounts())
            self._counts[label] = before + await self._reencrypt(store, label, page.values)
            if self._on_progress is not None:
                self._on_progress(ReencryptionResult(dict(self._counts)))
            if page.values:
                await asyncio.sleep(self._pause_seconds)

    async def _reencrypt(
        self, store: SealedRecordStore, label: str, values: Sequence[SealedValue]
    ) -> ReencryptionCounts:
        changes: list[tuple[SealedValue, Sealed]] = []
        failure: Exception | None = None
        for value in values:
            context = Context(self._tenant, label, value.sealed_to or value.record_id, value.field)
            try:
                plaintext = await self._protector.open(value.envelope, context)
            except (PayloadUnreadable, KeyUnavailable) as error:
                failure = failure or error
                continue
            changes.append((value, await self._protector.seal(plaintext, context)))
        unreadable = len(values) - len(changes)
        if unreadable:
            _logger.error("%d sealed values in %s can't be sealed anew, among them: %s", unreadable, label, failure)
        replaced = await store.replace(label, changes) if changes else 0
        return ReencryptionCounts(replaced, len(changes) - replaced, unreadable)
