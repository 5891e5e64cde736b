"""Every query of the library, as the planner sees it at the moment when it is sent, on a database that has seen use."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mongostore import LocalMasterKey, MongoStore, StoreOptions
from mongostore.models import PersistedGrant, PersistedGrantFilter
from mongostore.mongo.documents.grants import GrantCodec
from mongostore.protection.protector import Protector
from mongostore.stores.grant_records import GrantRecord
from mongostore.tenancy import Tenant
from mongostore.testing.contracts.filled_models import (
    a_filled_api_resource,
    a_filled_api_scope,
    a_filled_client,
    a_filled_identity_resource,
    an_oidc_provider,
)
from mongostore.testing.factories import (
    a_consent,
    a_grant,
    a_reference_token,
    a_refresh_token,
    an_authorization_code,
)

# The attributes of a store whose every public method must be among EXERCISES.
ATTRIBUTES = (
    "clients",
    "resources",
    "cors_policy",
    "identity_providers",
    "persisted_grants",
    "authorization_codes",
    "refresh_tokens",
    "reference_tokens",
    "user_consents",
    "grants",
)

GRACE = timedelta(seconds=30)
SUBJECTS, SESSIONS, CLIENTS = ["alice", "bob", "carol"], ["s1", "s2", None], ["web", "app", "tv"]
TYPES = ["refresh_token", "reference_token", "authorization_code", "user_consent"]
TENANTS = ["default", "acme", "default-2"]
COPIES = 8

# What is asked of a found record's state: a record may be examined and then refused for it.
STATE = {"consumed_time", "purge_at", "pending", "predecessor", "revision", "kind", "wrapped", "destroyed_at"}

WITH_PLAN = {"find", "update", "delete", "findAndModify", "distinct", "aggregate"}
# A getMore goes on with the plan of its find or aggregate.
WITHOUT_PLAN = {
    "insert",
    "getMore",
    "hello",
    "listCollections",
    "listIndexes",
    "buildInfo",
    "endSessions",
    "killCursors",
}


def filters() -> Iterator[PersistedGrantFilter]:
    """All 15 shapes of a filter, with single values and with lists."""
    for subject, session, client, kind in product((None, "alice"), (None, "s1"), (None, "c", "cs"), (None, "t", "ts")):
        values: dict[str, Any] = {"subject_id": subject, "session_id": session}
        values |= {"c": {"client_id": "web"}, "cs": {"client_ids": ["web", "tv"]}}.get(client or "", {})
        values |= {"t": {"type": TYPES[0]}, "ts": {"type": TYPES[0], "types": TYPES[1:3]}}.get(kind or "", {})
        if any(value is not None for value in values.values()):
            yield PersistedGrantFilter(**values)


async def a_code(s: Any) -> str:
    return await s.authorization_codes.store_authorization_code(an_authorization_code())


async def a_token(s: Any) -> str:
    return await s.refresh_tokens.store_refresh_token(a_refresh_token())


async def a_reference(s: Any) -> str:
    return await s.reference_tokens.store_reference_token(a_reference_token())


async def redeem(s: Any) -> None:
    code = await a_code(s)
    for _ in range(2):
        await s.authorization_codes.redeem_authorization_code(code)
    await s.authorization_codes.redeem_authorization_code("unknown")


async def rotate(s: Any) -> None:
    token = await a_token(s)
    for grace in (GRACE, GRACE, timedelta(0)):
        await s.refresh_tokens.rotate_refresh_token(token, a_refresh_token(), grace=grace)


async def save_twice(save: Callable[..., Awaitable[int]], model: Any) -> None:
    revision = await save(model)
    await save(model)
    await save(model, expected_revision=revision + 1)


async def list_clients(s: Any) -> None:
    assert len([client async for client in s.clients.get_all_clients()]) > 200


async def list_grants(s: Any) -> None:
    for each in filters():
        assert await s.persisted_grants.get_all(each), each


async def remove_grants(s: Any) -> None:
    # The narrowest first, so that the wider ones find something, too.
    for each in sorted(filters(), key=lambda each: len(each.model_fields_set), reverse=True):
        await s.persisted_grants.store(a_grant(type=TYPES[0]))
        assert await s.persisted_grants.remove_all(each), each


async def grants_of(s: Any) -> None:
    await s.user_consents.store_user_consent(a_consent("dora"))
    assert await s.grants.get_all_grants("dora")


Exercise = Callable[[Any], Awaitable[Any]]

# One exercise for each public method of the attributes above. A method that is new needs a line here.
EXERCISES: dict[str, Exercise] = {
    "clients.find_client_by_id": lambda s: s.clients.find_client_by_id("client-7"),
    "clients.find_enabled_client_by_id": lambda s: s.clients.find_enabled_client_by_id("absent"),
    "clients.get_all_clients": list_clients,
    "clients.save_client": lambda s: save_twice(s.clients.save_client, a_filled_client("new")),
    "clients.get_client_revision": lambda s: s.clients.get_client_revision("client-7"),
    "clients.delete_client": lambda s: s.clients.delete_client("client-7"),
    "resources.find_identity_resources_by_scope_name": lambda s: s.resources.find_identity_resources_by_scope_name(
        ["identity-1", "identity-2", "absent"]
    ),
    "resources.find_api_scopes_by_name": lambda s: s.resources.find_api_scopes_by_name(["scope-1", "scope-2"]),
    "resources.find_api_resources_by_scope_name": lambda s: s.resources.find_api_resources_by_scope_name(
        ["scope-1", "scope-2"]
    ),
    "resources.find_api_resources_by_name": lambda s: s.resources.find_api_resources_by_name(["api-1", "api-2"]),
    "resources.get_all_resources": lambda s: s.resources.get_all_resources(),
    "resources.find_resources_by_scope": lambda s: s.resources.find_resources_by_scope(["identity-1", "scope-1"]),
    "resources.find_enabled_resources_by_scope": lambda s: s.resources.find_enabled_resources_by_scope(["scope-1"]),
    "resources.save_identity_resource": lambda s: save_twice(
        s.resources.save_identity_resource, a_filled_identity_resource("new")
    ),
    "resources.save_api_scope": lambda s: save_twice(s.resources.save_api_scope, a_filled_api_scope("new-scope")),
    "resources.save_api_resource": lambda s: save_twice(s.resources.save_api_resource, a_filled_api_resource("new")),
    "resources.delete_identity_resource": lambda s: s.resources.delete_identity_resource("identity-1"),
    "resources.delete_api_scope": lambda s: s.resources.delete_api_scope("scope-1"),
    "resources.delete_api_resource": lambda s: s.resources.delete_api_resource("api-1"),
    "cors_policy.is_origin_allowed": lambda s: s.cors_policy.is_origin_allowed("https://7.example"),
    "identity_providers.get_all_scheme_names": lambda s: s.identity_providers.get_all_scheme_names(),
    "identity_providers.get_by_scheme": lambda s: s.identity_providers.get_by_scheme("scheme-1"),
    "identity_providers.save_identity_provider": lambda s: save_twice(
        s.identity_providers.save_identity_provider, an_oidc_provider("new")
    ),
    "identity_providers.delete_identity_provider": lambda s: s.identity_providers.delete_identity_provider("scheme-1"),
    "persisted_grants.store": lambda s: s.persisted_grants.store(a_grant()),
    "persisted_grants.get": lambda s: s.persisted_grants.get("default 1"),
    "persisted_grants.get_all": list_grants,
    "persisted_grants.remove": lambda s: s.persisted_grants.remove("default 1"),
    "persisted_grants.remove_all": remove_grants,
    "persisted_grants.consume": lambda s: s.persisted_grants.consume("default 2"),
    "authorization_codes.store_authorization_code": a_code,
    "authorization_codes.get_authorization_code": lambda s: s.authorization_codes.get_authorization_code("unknown"),
    "authorization_codes.remove_authorization_code": lambda s: s.authorization_codes.remove_authorization_code("x"),
    "authorization_codes.redeem_authorization_code": redeem,
    "refresh_tokens.store_refresh_token": a_token,
    "refresh_tokens.get_refresh_token": lambda s: s.refresh_tokens.get_refresh_token("unknown"),
    "refresh_tokens.update_refresh_token": lambda s: _then(
        a_token(s), lambda token: s.refresh_tokens.update_refresh_token(token, a_refresh_token())
    ),
    "refresh_tokens.remove_refresh_token": lambda s: _then(a_token(s), s.refresh_tokens.remove_refresh_token),
    "refresh_tokens.remove_refresh_tokens": lambda s: s.refresh_tokens.remove_refresh_tokens("dora", "web"),
    "refresh_tokens.rotate_refresh_token": rotate,
    "reference_tokens.store_reference_token": a_reference,
    "reference_tokens.get_reference_token": lambda s: _then(a_reference(s), s.reference_tokens.get_reference_token),
    "reference_tokens.remove_reference_token": lambda s: s.reference_tokens.remove_reference_token("unknown"),
    "reference_tokens.remove_reference_tokens": lambda s: s.reference_tokens.remove_reference_tokens(
        "dora", "web", "s1"
    ),
    "user_consents.store_user_consent": lambda s: s.user_consents.store_user_consent(a_consent()),
    "user_consents.get_user_consent": lambda s: s.user_consents.get_user_consent("alice", "web"),
    "user_consents.remove_user_consent": lambda s: s.user_consents.remove_user_consent("alice", "web"),
    "grants.get_all_grants": grants_of,
    "grants.remove_all_grants": lambda s: s.grants.remove_all_grants("dora", "app", "s1"),
    "grants.remove_family": lambda s: s.grants.remove_family("family 1"),
}


async def _then(first: Awaitable[str], second: Callable[[str], Awaitable[Any]]) -> Any:
    return await second(await first)


class Planner:
    """Asks the planner about each command before it is sent, and collects what is wrong with the answers."""

    def __init__(self, connection: MongoClient[dict[str, Any]]) -> None:
        self.connection = connection
        self.listens = True
        self.problems: list[str] = []
        self.explained = 0

    def __call__(self, database_name: str, command: dict[str, Any]) -> None:
        name = next(iter(command))
        if name in WITHOUT_PLAN or not self.listens:
            return
        # The driver logs what a listener raises and goes on: problems are collected instead.
        if name not in WITH_PLAN:
            self.problems.append(f"{name} is new: say how it is explained, or that it has no plan")
            return
        database = self.connection[database_name]
        for statement, query, limit in _statements(name, command):
            try:
                plan = database.command({"explain": statement, "verbosity": "executionStats"})
            except PyMongoError as error:
                self.problems.append(f"{name} can't be explained: {error}")
                return
            self.explained += 1
            stages = set(_stages(plan["queryPlanner"]["winningPlan"]))
            identifiers = {field: value for field, value in query.items() if field not in STATE}
            most = database[command[name]].count_documents(identifiers, **({"limit": limit} if limit else {}))
            examined = plan["executionStats"]["totalDocsExamined"]
            if stages & {"COLLSCAN", "SORT"}:
                self.problems.append(f"{name} {sorted(query)} is planned as {sorted(stages)}")
            if examined > most:
                self.problems.append(f"{name} {query} examines {examined} documents, {most} match")


def _statements(name: str, command: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any], int]]:
    """The parts of a command that have a plan of their own, with the query and the limit of each."""
    kept = {
        field: value
        for field, value in command.items()
        if field not in ("lsid", "txnNumber", "maxTimeMS", "writeConcern", "readConcern", "ordered", "batchSize")
        and not field.startswith("$")
    }
    match name:
        case "update" | "delete":
            for part in kept[f"{name}s"]:
                yield {**kept, f"{name}s": [part]}, part["q"], part.get("limit", 0)
        case "find":
            yield kept, kept.get("filter", {}), kept.get("limit", 0)
        case "findAndModify" | "distinct":
            yield kept, kept.get("query", {}), 0
        case _:
            yield {**kept, "cursor": {}}, kept["pipeline"][0].get("$match", {}), 0


def _stages(plan: Any) -> Iterator[str]:
    if isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            yield plan["stage"]
        for value in plan.values():
            yield from _stages(value)
    elif isinstance(plan, list):
        for each in plan:
            yield from _stages(each)


async def _populate(store: Any, database: Any, protector: Protector) -> None:
    """A few thousand grants of several tenants, live, expired, consumed, pending, rotated; configuration besides."""
    now = store.clock.now()
    states: list[dict[str, Any]] = [{}, {"expiration": None}, {"consumed_time": now}]
    for tenant in TENANTS:
        codec = GrantCodec(Tenant(tenant), protector, timedelta(days=1))
        documents = []
        for number, (subject, session, client, kind, state, _) in enumerate(
            product([*SUBJECTS, "dora", None], SESSIONS, CLIENTS, TYPES, states, range(COPIES))
        ):
            values = {"subject_id": subject, "session_id": session, "client_id": client, "type": kind, **state}
            grant: PersistedGrant = a_grant(f"{tenant} {number}", **values)
            pending = now + GRACE if number % 17 == 0 else None
            predecessor = f"{tenant} {number - 1}" if number % 5 == 0 else None
            record = GrantRecord(grant, family=f"family {number // 6}", predecessor=predecessor)
            documents.append(await codec.document(record, pending_until=pending))
        database["grants"].insert_many(documents)
    for number in range(4):
        await store.resources.save_identity_resource(a_filled_identity_resource(f"identity-{number}"))
        await store.resources.save_api_scope(a_filled_api_scope(f"scope-{number}"))
        await store.resources.save_api_resource(
            a_filled_api_resource(f"api-{number}", scopes={f"scope-{number}", f"scope-{number + 1}"})
        )
        await store.identity_providers.save_identity_provider(an_oidc_provider(f"scheme-{number}"))
    await store.clients.save_client(a_filled_client("client-7", allowed_cors_origins={"https://7.example"}))
    (client,) = database["clients"].find()
    database["clients"].insert_many(
        {**client, "_id": f"{tenant}|client-{number}", "tenant": tenant, "client_id": f"client-{number}"}
        | {"cors_origins": [f"https://{number}.example"], "enabled": number % 2 == 1}
        for tenant in TENANTS
        for number in range(250)
        if (tenant, number) != ("default", 7)
    )
    for collection in ("scopes", "api_resources", "identity_providers"):
        found = list(database[collection].find())
        database[collection].insert_many(
            {**each, "_id": each["_id"].replace("default", tenant, 1), "tenant": tenant}
            for each in found
            for tenant in TENANTS[1:]
        )


@pytest.fixture
def planner(wire, mongo_connection):
    wire.before_sending = planner = Planner(mongo_connection)
    return planner


@pytest.mark.parametrize("options", [{"caching": None}, {}], ids=["without caches", "with caches"])
async def test_no_query_scans_sorts_or_reads_what_it_does_not_need(
    prepared_database, open_store, protector, planner, options
):
    """Whatever the library asks is answered from an index: no scan, no sort in memory, no document that is not meant."""
    async with open_store(prepared_database, **options) as store:
        planner.listens = False
        await _populate(store, planner.connection[prepared_database], protector)
        planner.listens = True
        for name, exercise in EXERCISES.items():
            before = planner.explained
            await exercise(store)
            # What is stored under a new handle is inserted, and a cache may answer by itself.
            assert planner.explained > before or "store_" in name or not options, f"{name} sent nothing to explain"
    async with open_store(prepared_database):
        pass
    assert planner.explained > 150
    assert planner.problems == []


def test_the_planner_is_heard(mongo_connection, database_name):
    """A scan, a sort in memory and a document too many are each found: the test above can fail."""
    collection = mongo_connection[database_name]["things"]
    collection.insert_many({"_id": number, "a": number % 2, "b": number % 3} for number in range(30))
    collection.create_index("a")
    for command in (
        {"find": "things", "filter": {"b": 1}},
        {"find": "things", "filter": {"a": 1}, "sort": {"b": 1}},
        {"find": "things", "filter": {"a": 1, "b": 1}},
        {"update": "things", "updates": [{"q": {"b": 1}, "u": {"$set": {"b": 2}}, "multi": True}]},
        {"delete": "things", "deletes": [{"q": {"a": 1, "b": 1}, "limit": 0}]},
        {"findAndModify": "things", "query": {"b": 1}, "remove": True},
        {"distinct": "things", "key": "a", "query": {"b": 1}},
        {"aggregate": "things", "pipeline": [{"$match": {"b": 1}}], "cursor": {}},
    ):
        planner = Planner(mongo_connection)
        planner(database_name, command)
        assert planner.explained, command
        assert planner.problems, command
    planner = Planner(mongo_connection)
    planner(database_name, {"mapReduce": "things"})
    assert planner.problems


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_method_of_the_stores_is_exercised(attribute):
    """A method without an exercise could scan unseen: give it a line in EXERCISES."""
    # Without telemetry, the attributes are the stores themselves.
    options = StoreOptions(telemetry=False)
    store = MongoStore("mongodb://localhost", database="unused", master_key=LocalMasterKey.generate(), options=options)
    methods = inspect.getmembers(type(getattr(store, attribute)), inspect.isfunction)
    public = {f"{attribute}.{name}" for name, _ in methods if not name.startswith("_")}
    assert public == {name for name in EXERCISES if name.startswith(f"{attribute}.")}, (
        "add what is missing to EXERCISES"
    )
