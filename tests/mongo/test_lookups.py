"""The look-up of one record by its `_id`."""

import pytest
from pymongo.errors import AutoReconnect

from mongostore.errors import StorageUnavailable
from mongostore.mongo.documents.grants import GrantFields
from mongostore.mongo.lookups import find_by_id


async def test_a_look_up_is_sent_again_once(prepared_binding, monkeypatch):
    """A lost connection costs a look-up nothing, as it is with the driver's own reads; two lost ones are told."""
    binding = prepared_binding
    grants = binding.collection(GrantFields)
    send = type(grants.database).command
    failures = iter([AutoReconnect("lost"), None, AutoReconnect("lost"), AutoReconnect("lost")])

    async def failing(database, *arguments, **options):
        failure = next(failures)
        if failure is not None:
            raise failure
        return await send(database, *arguments, **options)

    monkeypatch.setattr(type(grants.database), "command", failing)
    assert await find_by_id(binding, "read a grant", grants, "default|absent") is None
    with pytest.raises(StorageUnavailable, match="read a grant"):
        await find_by_id(binding, "read a grant", grants, "default|absent")
