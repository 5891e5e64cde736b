"""What the operations on one-time records cost on the wire, and how the planner answers them."""

from datetime import timedelta
from typing import Any

import pytest

from mongostore.errors import AlreadyExists, NotFound
from mongostore.grants.handles import grant_key
from mongostore.models import Message
from mongostore.testing.factories import (
    a_backchannel_request,
    a_device_code,
    a_pushed_request,
    an_answered_device_code,
)

MAJORITY_ON_DISK = {"w": "majority", "j": True}
MINUTE = timedelta(minutes=1)
# Whoever opened the store may be listening for changes beside what is measured here.
OF_A_CHANGE_STREAM = {"aggregate", "getMore", "killCursors"}
WITH_PLAN = {"find", "update", "delete", "findAndModify"}


async def refused(call: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await call


async def prepare_records(s: Any) -> dict[str, str]:
    """Records in every state, and enough of others that a scan would not pay."""
    now = s.clock.now()
    for number in range(40):
        await s.device_flow.store_device_authorization(f"d{number}", f"u{number}", a_device_code())
        await s.pushed_authorization_requests.store(a_pushed_request(str(number)))
        await s.replay_cache.add("jti", str(number), now + MINUTE)
        await s.messages.write(Message(number))
        await s.backchannel_authentication_requests.create_request(a_backchannel_request(client_id=f"c{number % 5}"))
    await s.device_flow.store_device_authorization(
        "old device", "old user", a_device_code(creation_time=now, lifetime=0)
    )
    await s.device_flow.store_device_authorization("device", "user", an_answered_device_code())
    await s.pushed_authorization_requests.store(a_pushed_request("old", expires_at_utc=now))
    await s.pushed_authorization_requests.store(a_pushed_request("hash"))
    await s.replay_cache.add("jti", "a", now + MINUTE)
    handle = await s.backchannel_authentication_requests.create_request(a_backchannel_request(is_complete=True))
    return {
        "message": await s.messages.write(Message("text")),
        "consent": await s.consent_messages.write(Message("text")),
        "handle": handle,
        "internal": grant_key(handle, "ciba"),
    }


FIND, INSERT, UPDATE, DELETE, TAKE = "find", "insert", "update", "delete", "findAndModify"
DEVICES, PUSHED, MESSAGES, REPLAY, GRANTS = (
    "device_codes",
    "pushed_authorization_requests",
    "messages",
    "replay_cache",
    "grants",
)

OPERATIONS: list[tuple[str, Any, list[str]]] = [
    (DEVICES, lambda s, _: s.device_flow.store_device_authorization("new", "new", a_device_code()), [UPDATE]),
    (
        DEVICES,
        lambda s, _: s.device_flow.store_device_authorization("old device", "n", a_device_code()),
        [UPDATE],
    ),
    (
        DEVICES,
        lambda s, _: refused(s.device_flow.store_device_authorization("n", "user", a_device_code()), AlreadyExists),
        [UPDATE, DELETE, UPDATE],
    ),
    (DEVICES, lambda s, _: s.device_flow.find_by_device_code("device"), [FIND]),
    (DEVICES, lambda s, _: s.device_flow.find_by_user_code("user"), [FIND]),
    (DEVICES, lambda s, _: s.device_flow.find_by_user_code("unknown"), [FIND]),
    (DEVICES, lambda s, _: s.device_flow.update_by_user_code("user", an_answered_device_code()), [FIND, UPDATE]),
    (DEVICES, lambda s, _: refused(s.device_flow.update_by_user_code("?", a_device_code()), NotFound), [FIND]),
    (DEVICES, lambda s, _: s.device_flow.register_poll("device", MINUTE), [TAKE]),
    (DEVICES, lambda s, _: s.device_flow.consume_by_device_code("d1"), [TAKE]),
    (DEVICES, lambda s, _: s.device_flow.consume_by_device_code("device"), [TAKE]),
    (DEVICES, lambda s, _: s.device_flow.remove_by_device_code("device"), [DELETE]),
    (DEVICES, lambda s, _: s.device_flow.find_by_device_code("a\0b"), []),
    (PUSHED, lambda s, _: s.pushed_authorization_requests.store(a_pushed_request("new")), [UPDATE]),
    (PUSHED, lambda s, _: s.pushed_authorization_requests.store(a_pushed_request("old")), [UPDATE]),
    (
        PUSHED,
        lambda s, _: refused(s.pushed_authorization_requests.store(a_pushed_request("hash")), AlreadyExists),
        [UPDATE],
    ),
    (PUSHED, lambda s, _: s.pushed_authorization_requests.get_by_hash("hash"), [FIND]),
    (PUSHED, lambda s, _: s.pushed_authorization_requests.consume_by_hash("hash"), [TAKE]),
    (MESSAGES, lambda s, _: s.messages.write(Message("text")), [INSERT]),
    (MESSAGES, lambda s, ids: s.messages.read(ids["message"]), [FIND]),
    (MESSAGES, lambda s, ids: s.consent_messages.read(ids["consent"]), [FIND]),
    (MESSAGES, lambda s, ids: s.messages.delete(ids["message"]), [DELETE]),
    (REPLAY, lambda s, _: s.replay_cache.add("jti", "new", s.clock.now() + MINUTE), [UPDATE]),
    (REPLAY, lambda s, _: s.replay_cache.add("jti", "a", s.clock.now() + MINUTE), [UPDATE]),
    (REPLAY, lambda s, _: s.replay_cache.exists("jti", "a"), [FIND]),
    (
        GRANTS,
        lambda s, _: s.backchannel_authentication_requests.create_request(a_backchannel_request()),
        [INSERT],
    ),
    (
        GRANTS,
        lambda s, ids: s.backchannel_authentication_requests.get_by_authentication_request_id(ids["handle"]),
        [FIND],
    ),
    (GRANTS, lambda s, ids: s.backchannel_authentication_requests.get_by_internal_id(ids["internal"]), [FIND]),
    (GRANTS, lambda s, _: s.backchannel_authentication_requests.get_logins_for_user("alice"), [FIND]),
    (GRANTS, lambda s, _: s.backchannel_authentication_requests.get_logins_for_user("alice", "c1"), [FIND]),
    (
        GRANTS,
        lambda s, ids: s.backchannel_authentication_requests.update_by_internal_id(
            ids["internal"], a_backchannel_request(is_complete=True)
        ),
        [FIND, UPDATE],
    ),
    (GRANTS, lambda s, ids: s.backchannel_authentication_requests.consume_by_internal_id(ids["internal"]), [TAKE]),
    (GRANTS, lambda s, ids: s.backchannel_authentication_requests.remove_by_internal_id(ids["internal"]), [DELETE]),
]


async def test_an_operation_is_these_commands_and_each_goes_by_an_index(
    prepared_database, open_store, wire, mongo_connection
):
    """One round trip each, but for a user's answer; no scan, no sort in memory, no document that is not meant."""
    plans: list[dict[str, Any]] = []

    def explain(database: str, command: dict[str, Any]) -> None:
        if next(iter(command)) in WITH_PLAN:
            plans.append(mongo_connection[database].command("explain", _query(command), verbosity="executionStats"))

    async with open_store(prepared_database) as store:
        ids = await prepare_records(store)
        wire.before_sending = explain
        for place, (collection, call, expected) in enumerate(OPERATIONS):
            wire.sent.clear()
            plans.clear()
            await call(store, ids)
            sent = [command for command in wire.sent if next(iter(command)) not in OF_A_CHANGE_STREAM]
            assert [next(iter(command)) for command in sent] == expected, place
            for command in sent:
                assert command[next(iter(command))] == collection
                _check_guarantees(command)
            for plan in plans:
                stages = str(plan["queryPlanner"]["winningPlan"])
                assert "COLLSCAN" not in stages, place
                assert "'SORT'" not in stages, place
                statistics = plan["executionStats"]
                most = max(1, statistics["nReturned"])
                assert statistics["totalDocsExamined"] <= most, place
                assert statistics["totalKeysExamined"] <= most + 1, place


def _query(command: dict[str, Any]) -> dict[str, Any]:
    """What explain takes of a command that was sent."""
    left_out = {"lsid", "txnNumber", "writeConcern", "maxTimeMS", "readConcern"}
    return {name: each for name, each in command.items() if not name.startswith("$") and name not in left_out}


def _check_guarantees(command: dict[str, Any]) -> None:
    """Reads are the primary's; writes are confirmed by a majority, on disk, and repeated after a fail-over."""
    if "find" in command:
        assert command.get("$readPreference", {"mode": "primary"}) == {"mode": "primary"}
    else:
        assert command["writeConcern"] == MAJORITY_ON_DISK
        assert "txnNumber" in command
