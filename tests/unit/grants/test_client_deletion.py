"""A deletion that dies between the client and its grants, and clients that lie elsewhere."""

import pytest

from mongostore import MemoryStore, StorageUnavailable
from mongostore.grants.client_deletion import RevokingClientStore
from mongostore.grants.revocation import Revocation
from mongostore.memory.clients import MemoryClientStore
from mongostore.memory.revisions import MemoryRevisions
from mongostore.testing.factories import a_client, a_consent


class FailingOnce:
    """Grants that can't be reached the first time."""

    def __init__(self, grants):
        self._grants = grants
        self._has_failed = False

    async def remove_all(self, wanted):
        if not self._has_failed:
            self._has_failed = True
            raise StorageUnavailable("no primary")
        return await self._grants.remove_all(wanted)


async def test_a_deletion_that_failed_halfway_is_repeated():
    """The client is gone, its consent is not: the caller hears of it, and the next call takes the consent as well."""
    store = MemoryStore()
    clients = RevokingClientStore(
        MemoryClientStore(MemoryRevisions()),
        Revocation(FailingOnce(store.persisted_grants), store.device_flow, store.pushed_authorization_requests),
    )
    await clients.save_client(a_client())
    await store.user_consents.store_user_consent(a_consent())
    with pytest.raises(StorageUnavailable):
        await clients.delete_client("web")
    assert await clients.find_client_by_id("web") is None
    assert await store.user_consents.get_user_consent("alice", "web") is not None
    assert await clients.delete_client("web") is False
    assert await store.user_consents.get_user_consent("alice", "web") is None
