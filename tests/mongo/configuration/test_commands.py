"""What each method sends to MongoDB, and what MongoDB does for it."""

import asyncio

import pytest

from mongostore.errors import StaleRevision
from mongostore.models import ApiResource, ApiScope
from mongostore.testing.contracts.filled_models import an_identity_resource, an_oidc_provider
from mongostore.testing.factories import a_client

CLIENTS = 205

# Every method that reads, and how many commands it may send.
READS = {
    "a client": (lambda s: s.clients.find_client_by_id("client1"), 1),
    "an enabled client": (lambda s: s.clients.find_enabled_client_by_id("client1"), 1),
    "an unknown client": (lambda s: s.clients.find_client_by_id("unknown"), 1),
    "an impossible client": (lambda s: s.clients.find_client_by_id("a\0"), 0),
    "all clients": (lambda s: _listed(s.clients.get_all_clients()), 2),
    "identity resources": (lambda s: s.resources.find_identity_resources_by_scope_name(["profile", "read"]), 1),
    "API scopes": (lambda s: s.resources.find_api_scopes_by_name(["read", "profile"]), 1),
    "API resources": (lambda s: s.resources.find_api_resources_by_name(["orders", "bills"]), 1),
    "API resources by one scope": (lambda s: s.resources.find_api_resources_by_scope_name(["read"]), 1),
    "API resources by scopes": (lambda s: s.resources.find_api_resources_by_scope_name(["read", "write"]), 1),
    "a request": (lambda s: s.resources.find_resources_by_scope(["profile", "read", "offline_access"]), 2),
    "an enabled request": (lambda s: s.resources.find_enabled_resources_by_scope(["profile", "read"]), 2),
    "an empty request": (lambda s: s.resources.find_resources_by_scope([]), 0),
    "no API scopes": (lambda s: s.resources.find_api_scopes_by_name(["", "a\0"]), 0),
    "no API resources": (lambda s: s.resources.find_api_resources_by_name([]), 0),
    "all resources": (lambda s: s.resources.get_all_resources(), 2),
    "an allowed origin": (lambda s: s.cors_policy.is_origin_allowed("https://1.example"), 1),
    "another origin": (lambda s: s.cors_policy.is_origin_allowed("https://unknown.example"), 1),
    "no origin": (lambda s: s.cors_policy.is_origin_allowed("null"), 0),
    "a provider": (lambda s: s.identity_providers.get_by_scheme("acme"), 1),
    "an impossible provider": (lambda s: s.identity_providers.get_by_scheme(""), 0),
    "all schemes": (lambda s: s.identity_providers.get_all_scheme_names(), 1),
}


# What is read to be changed.
READS_TO_CHANGE = {
    "a revision": (lambda s: s.clients.get_client_revision("client1"), 1),
    "a client": (lambda s: s.clients.read_client("client1"), 1),
    "an impossible client": (lambda s: s.clients.read_client("a\0"), 0),
    "an identity resource": (lambda s: s.resources.read_identity_resource("profile"), 1),
    "an API scope": (lambda s: s.resources.read_api_scope("read"), 1),
    "an API resource": (lambda s: s.resources.read_api_resource("orders"), 1),
    "a provider": (lambda s: s.identity_providers.read_identity_provider("acme"), 1),
}


async def _listed(clients):
    return [client async for client in clients]


async def _fill(store):
    await asyncio.gather(
        *(
            store.clients.save_client(
                a_client(f"client{n}", allowed_cors_origins={f"https://{n}.example"}, enabled=n % 2 == 1)
            )
            for n in range(CLIENTS)
        ),
        *(store.resources.save_identity_resource(an_identity_resource(name)) for name in ("profile", "email")),
        *(store.resources.save_api_scope(ApiScope(name=name)) for name in ("read", "write", "delete")),
        *(
            store.resources.save_api_resource(ApiResource(name=name, scopes=scopes))
            for name, scopes in {"orders": {"read", "write"}, "bills": {"read"}, "other": {"delete"}}.items()
        ),
        *(store.identity_providers.save_identity_provider(an_oidc_provider(name)) for name in ("acme", "initech")),
    )


async def test_a_read_is_as_few_commands_as_it_can_be(store, commands):
    """Each look-up is the stated number of finds, from the primary if there is one, and leaves no cursor open."""
    await _fill(store)
    commands.taken()
    for read, (run, count) in READS.items():
        await run(store)
        sent = commands.taken()
        assert [next(iter(command)) for command in sent] == ["find"] * count, read
        assert all(command["$readPreference"] == {"mode": "primaryPreferred"} for command in sent), read


async def test_what_is_read_to_be_changed_comes_from_the_primary(store, commands):
    """One find each, for value and revision together; no secondary answers, and no cache."""
    await _fill(store)
    commands.taken()
    for read, (run, count) in [*READS_TO_CHANGE.items(), *READS_TO_CHANGE.items()]:
        await run(store)
        sent = commands.taken()
        assert [next(iter(command)) for command in sent] == ["find"] * count, read
        assert all("$readPreference" not in command for command in sent), read


async def test_a_read_is_served_by_an_index(store, commands, raw):
    """No collection is scanned, nothing is sorted in memory, no document is examined for nothing."""
    await _fill(store)
    commands.taken()
    for read, (run, _) in READS.items():
        await run(store)
        for command in commands.taken():
            explained = raw.command("explain", _query(command), verbosity="executionStats")
            stages = _stages(explained["queryPlanner"]["winningPlan"])
            statistics = explained["executionStats"]
            assert {"COLLSCAN", "SORT"}.isdisjoint(stages), (read, stages)
            # Scopes of both kinds lie in one collection, so a name of the other kind is looked at.
            spare = 1 if "kind" in command["filter"] else 0
            assert statistics["totalDocsExamined"] <= statistics["nReturned"] + spare, read
            if read in {"an allowed origin", "another origin"}:
                assert statistics["totalKeysExamined"] <= 1


def _query(command):
    """What explain takes of a command that was sent."""
    return {name: value for name, value in command.items() if not name.startswith("$") and name != "lsid"}


def _stages(plan):
    plan = plan.get("queryPlan", plan)  # MongoDB 7 and later, with its slot-based engine.
    stages = {plan["stage"]}
    for child in [plan.get("inputStage"), *plan.get("inputStages", [])]:
        if child:
            stages |= _stages(child)
    return stages


async def test_an_origin_of_many_disabled_clients_costs_no_more(store, commands, raw):
    """Disabled clients are passed over in the index."""
    origins = {"https://app.example"}
    for number in range(20):
        await store.clients.save_client(a_client(f"client{number}", allowed_cors_origins=origins, enabled=False))
    commands.taken()
    assert await store.cors_policy.is_origin_allowed("https://app.example") is False
    (command,) = commands.taken()
    statistics = raw.command("explain", _query(command), verbosity="executionStats")["executionStats"]
    assert (statistics["totalDocsExamined"], statistics["totalKeysExamined"]) == (0, 0)


async def test_a_save_draws_a_number_and_writes(store, commands):
    """A save is one draw and one or two conditional writes, each acknowledged by a majority, on disk."""
    await store.clients.save_client(a_client("first"))
    commands.taken()
    for client, expected_revision, sent in (
        (a_client(), 0, ["findAndModify", "insert"]),
        (a_client(), None, ["findAndModify", "update"]),
        (a_client("new"), None, ["findAndModify", "update", "insert"]),
    ):
        await store.clients.save_client(client, expected_revision=expected_revision)
        taken = commands.taken()
        assert [next(iter(command)) for command in taken] == sent
        assert all(command["writeConcern"] == {"w": "majority", "j": True} for command in taken)
    revision = await store.clients.get_client_revision("web")
    commands.taken()
    await store.clients.save_client(a_client(), expected_revision=revision)
    assert commands.names() == ["findAndModify", "update"]


async def test_a_refused_save_sends_nothing(store, commands):
    """What is invalid is refused before the database hears of it."""
    with pytest.raises(ValueError, match="expected_revision"):
        await store.clients.save_client(a_client(), expected_revision=-1)
    with pytest.raises(TypeError):
        await store.resources.save_api_scope(a_client())
    assert commands.names() == []


async def test_a_deletion_is_one_command(store, commands):
    """Deleting names its record by `_id`."""
    await _fill(store)
    commands.taken()
    assert await store.clients.delete_client("client1", revoke_grants=False)
    assert await store.resources.delete_identity_resource("profile")
    assert await store.resources.delete_api_scope("read")
    assert await store.resources.delete_api_resource("orders")
    assert await store.identity_providers.delete_identity_provider("acme")
    sent = commands.taken()
    assert [next(iter(command)) for command in sent] == ["delete"] * 5
    assert all(command["writeConcern"] == {"w": "majority", "j": True} for command in sent)


async def test_a_deletion_of_a_revision_is_one_command(store, commands):
    """What is read afterwards, if nothing was deleted, is for the message alone."""
    revision = await store.clients.save_client(a_client())
    commands.taken()
    with pytest.raises(StaleRevision):
        await store.clients.delete_client("web", expected_revision=revision + 1)
    assert commands.names() == ["delete", "find"]
    assert await store.clients.delete_client("web", expected_revision=revision, revoke_grants=False)
    assert commands.names() == ["delete"]
