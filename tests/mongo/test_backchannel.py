"""What is particular to backchannel requests in MongoDB: a marker in clear that consumption is decided by."""

import pytest
from bson import encode

from mongostore.errors import PayloadUnreadable
from mongostore.grants.handles import grant_key
from mongostore.testing.factories import a_backchannel_request, a_grant, an_authorization_code

SECRET = "nobody-should-read-this"


@pytest.fixture
def grants(mongo_connection, prepared_database):
    """The collection, behind the store's back."""
    return mongo_connection[prepared_database]["grants"]


async def test_the_marker_is_there_when_the_user_has_answered(store, grants):
    """It comes with the answer and goes with its withdrawal; grants of other types never have one."""
    requests = store.backchannel_authentication_requests
    internal_id = grant_key(await requests.create_request(a_backchannel_request()), "ciba")
    states = []
    for is_complete in (False, True, False):
        await requests.update_by_internal_id(internal_id, a_backchannel_request(is_complete=is_complete))
        (stored,) = grants.find()
        states.append(stored.get("completed", "absent"))
    assert states == ["absent", True, "absent"]
    await store.persisted_grants.store(a_grant())
    await store.authorization_codes.store_authorization_code(an_authorization_code())
    assert grants.count_documents({"completed": {"$exists": True}}) == 0


async def test_neither_handle_nor_data_is_stored_in_clear(store, grants):
    """What the client asks for and what the user allows is sealed."""
    request = a_backchannel_request(
        binding_message=SECRET,
        requested_scopes=[SECRET],
        requested_resource_indicators=[SECRET],
        authentication_context_reference_classes=[SECRET],
        tenant=SECRET,
        idp=SECRET,
        authorized_scopes=[SECRET],
        properties={SECRET: SECRET},
        is_complete=True,
    )
    handle = await store.backchannel_authentication_requests.create_request(request)
    (stored,) = grants.find()
    assert set(stored) == {
        "_id",
        "tenant",
        "type",
        "client_id",
        "subject_id",
        "creation_time",
        "expiration",
        "purge_at",
        "completed",
        "payload",
    }
    for secret in (handle, handle.removesuffix("-1"), SECRET):
        assert secret.encode() not in encode(stored)


async def test_a_request_that_was_moved_does_not_open(store, grants):
    """A payload opens in its own record only, so an answer can't be copied to another request."""
    requests = store.backchannel_authentication_requests
    answered = await requests.create_request(a_backchannel_request(is_complete=True))
    pending = await requests.create_request(a_backchannel_request())
    stored = grants.find_one({"completed": True})
    grants.update_one({"completed": None}, {"$set": {"payload": stored["payload"], "completed": True}})
    assert await requests.get_by_authentication_request_id(answered) is not None
    with pytest.raises(PayloadUnreadable):
        await requests.consume_by_internal_id(grant_key(pending, "ciba"))
