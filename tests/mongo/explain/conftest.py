"""An ear on the wire that asks the planner about every command, and a database that has seen use."""

import asyncio
import inspect
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from itertools import chain, product
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

import mongostore.mongo
from mongostore.models import Message
from mongostore.mongo.documents.base import without_nulls
from mongostore.mongo.documents.sessions import SessionCodec
from mongostore.protection.context import Context
from mongostore.protection.protector import Protector, pack
from mongostore.tenancy import Tenant
from mongostore.testing.contracts.filled_models import (
    a_filled_api_resource,
    a_filled_api_scope,
    a_filled_client,
    a_filled_identity_resource,
    an_oidc_provider,
)
from mongostore.testing.factories import (
    a_device_code,
    a_pushed_request,
    a_serialized_key,
    a_session,
    an_answered_device_code,
)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DAY = 24 * HOUR
TENANTS = ["default", "acme", "default-2"]
SUBJECTS, SESSIONS, CLIENTS = ["alice", "bob", "carol", "dora", None], ["s1", "s2", None], ["web", "app", "tv"]
TYPES = ["refresh_token", "reference_token", "authorization_code", "user_consent"]
COPIES = 8
# So many that jumping from one to the next takes longer than an index that begins with what is asked for.
STRANGERS = [f"stranger {number}" for number in range(600)]
ONE_TIME_RECORDS = 40
SERVER_SIDE_SESSIONS = 300

# What is asked of the state of a record that is found by something else: it may be examined, and then refused for this.
STATE = {
    *(
        "consumed_time",
        "purge_at",
        "pending",
        "predecessor",
        "anchor",
        "revision",
        "kind",
        "wrapped",
        "destroyed_at",
        "completed",
    ),
    *("is_authorized", "expires", "claim", "owner", "$expr", "$nor"),
    # Re-encryption walks through all records, a page of `_id`s at a time, and so does it find where a page of sessions
    # begins: the rest of the condition is a range of the index.
    *("payload", "successor", "$or"),
    # And so does what removes everything of before an instant.
    "creation_time",
}

# A filter that says nothing of a field in the middle of an index jumps from one of its values to the next.
KEYS_PER_DOCUMENT, MORE_KEYS = 1.5, 12

WITH_PLAN = {"find", "update", "delete", "findAndModify", "distinct", "aggregate"}
# A getMore goes on with the plan of its find or aggregate.
WITHOUT_PLAN = {
    *("insert", "getMore", "killCursors", "endSessions", "hello", "ping", "buildInfo", "getParameter"),
    *("listCollections", "listIndexes"),
}


class Planner:
    """Asks the planner about each command before it is sent, and collects what is wrong with the answers.

    Attributes:
        listens: whether it does so.
        problems: what is wrong.
        explained: how many queries had a plan.
    """

    def __init__(self, connection: MongoClient[dict[str, Any]]) -> None:
        self.connection = connection
        self.listens = False
        self.problems: list[str] = []
        self.explained = 0

    def __call__(self, database_name: str, command: dict[str, Any]) -> None:
        name = next(iter(command))
        if not self.listens or name in WITHOUT_PLAN:
            return
        # The driver logs what a listener raises and goes on: problems are collected instead.
        if name not in WITH_PLAN:
            self.problems.append(f"{name} is new: say how it is explained, or that it has no plan")
            return
        database = self.connection[database_name]
        for statement, query, limit in _statements(name, command):
            try:
                answer = database.command({"explain": statement, "verbosity": "executionStats"})
            except PyMongoError as error:
                self.problems.append(f"{name} can't be explained: {error}")
                return
            self.explained += 1
            plan = answer["stages"][0]["$cursor"] if "stages" in answer else answer
            stages = set(_stages(plan["queryPlanner"]["winningPlan"]))
            identifiers = {
                field: value
                for field, value in query.items()
                # All but one record: that one is looked at, too.
                if field not in STATE and not (isinstance(value, dict) and value.keys() == {"$ne"})
            }
            most = database[command[name]].count_documents(identifiers, **({"limit": limit} if limit else {}))
            examined, keys = (plan["executionStats"][f"total{what}Examined"] for what in ("Docs", "Keys"))
            if stages & {"COLLSCAN", "SORT"}:
                self.problems.append(f"{name} {sorted(query)} in {command[name]} is planned as {sorted(stages)}")
            if examined > most:
                self.problems.append(f"{name} {query} in {command[name]} examines {examined} documents, {most} match")
            # A part of a text is looked for in the whole index, by whoever asks for that (`match="substring"`).
            if keys > KEYS_PER_DOCUMENT * most + MORE_KEYS and "$regex" not in str(query):
                self.problems.append(f"{name} {query} in {command[name]} examines {keys} keys, {most} match")

    @staticmethod
    def senders() -> dict[str, type]:
        """The classes whose commands it is asked about: those of `mongostore.mongo` that are made on a binding."""
        modules = pkgutil.iter_modules(mongostore.mongo.__path__, "mongostore.mongo.")
        found = {
            name: kind
            for module in modules
            for name, kind in inspect.getmembers(import_module(module.name), inspect.isclass)
            if kind.__module__ == module.name and "binding" in inspect.signature(kind).parameters
        }
        del found["ChangeFeed"]  # A change stream has no plan.
        del found["TenantDatabase"]  # It looks for one mark, or whether there is anything at all.
        return found


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
            limit = kept.get("limit", 0)
            yield kept, kept.get("filter", {}), limit and abs(limit) + kept.get("skip", 0)
        case "findAndModify" | "distinct":
            yield kept, kept.get("query", {}), 0
        case _:
            stages = {operator: value for stage in kept["pipeline"] for operator, value in stage.items()}
            yield {**kept, "cursor": {}}, stages.get("$match", {}), stages.get("$limit", 0)


def _stages(plan: Any) -> Iterator[str]:
    if isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            yield plan["stage"]
        for value in plan.values():
            yield from _stages(value)
    elif isinstance(plan, list):
        for each in plan:
            yield from _stages(each)


@pytest.fixture
def planner(wire, mongo_connection) -> Planner:
    """Hears every command, once it is told to listen."""
    wire.before_sending = planner = Planner(mongo_connection)
    return planner


@pytest.fixture
async def configured_database(prepared_database, open_store, mongo_connection) -> str:
    """A few hundred clients, and some of everything else that is configured, of several tenants."""
    async with open_store(prepared_database, caching=None, telemetry=False) as store:
        await _add_configuration(store, mongo_connection[prepared_database])
    return prepared_database


@pytest.fixture
async def used_database(configured_database, open_store, mongo_connection, protector) -> str:
    """And thousands of records besides: live, expired, consumed, pending, rotated, claimed, laid aside."""
    database = mongo_connection[configured_database]
    async with open_store(configured_database, caching=None, telemetry=False) as store:
        await asyncio.gather(*(_add_one_time_records(store.for_tenant(tenant)) for tenant in TENANTS))
        for tenant in TENANTS:
            database["grants"].insert_many(await _grants(Tenant(tenant), protector, store.clock.now()))
            database["sessions"].insert_many(await _sessions(Tenant(tenant), protector, store.clock.now()))
            await store.for_tenant(tenant).server_side_sessions.claim_expired_sessions(5, DAY)
    return configured_database


async def _grants(tenant: Tenant, protector: Protector, now: Any) -> list[dict[str, Any]]:
    documents = []
    states: list[dict[str, Any]] = [
        {"expiration": now + HOUR, "purge_at": now + HOUR},
        {},
        {"expiration": now + HOUR, "purge_at": now + HOUR, "consumed_time": now},
    ]
    known = product(SUBJECTS, SESSIONS, CLIENTS, TYPES, states, range(COPIES))
    others = product(STRANGERS, ["s3"], ["kiosk"], TYPES[:1], states[:1], range(1))
    for number, (subject, session, client, kind, state, _) in enumerate(chain(known, others)):
        key = f"{tenant} {number}"
        document = {
            "_id": f"{tenant}|{key}",
            "tenant": tenant,
            "type": kind,
            "subject_id": subject,
            "session_id": session,
            "client_id": client,
            "creation_time": now,
            "family": f"family {number // 6}",
            "predecessor": f"{tenant} {number - 1}" if number % 5 == 0 else None,
            "pending": True if number % 17 == 0 else None,
            "payload": await protector.seal(pack("payload"), Context(tenant, "grants", key, "payload")),
        }
        documents.append(without_nulls(document | state))
    return documents


async def _sessions(tenant: Tenant, protector: Protector, now: Any) -> list[dict[str, Any]]:
    codec = SessionCodec(tenant, protector, 7 * DAY)
    documents = []
    for number in range(SERVER_SIDE_SESSIONS):
        expires = now - MINUTE if number % 10 == 0 else now + HOUR
        session = a_session(
            f"key {number}",
            display_name=f"User {number:04}",
            subject_id=f"subject {number % 50}",
            session_id=f"session {number}",
            expires=expires,
        )
        document = await codec.document(session)
        documents.append(await codec.aside(document) if number % 30 == 0 else document)
    return documents


async def _add_one_time_records(stores: Any) -> None:
    for number in range(ONE_TIME_RECORDS):
        name = str(number)
        code = an_answered_device_code() if number % 2 else a_device_code()
        await stores.device_flow.store_device_authorization(f"device {name}", f"user {name}", code)
        await stores.pushed_authorization_requests.store(a_pushed_request(name))
        await stores.messages.write(Message(name))
        await stores.consent_messages.write(Message(name))
        await stores.replay_cache.add("jti", name, stores.clock.now() + HOUR)
    for number in range(3):
        await stores.signing_keys.store_key(a_serialized_key(f"key {number}"))
        await stores.key_ring.rotate()


async def _add_configuration(store: Any, database: Any) -> None:
    for number in range(4):
        await store.resources.save_identity_resource(a_filled_identity_resource(f"identity-{number}"))
        await store.resources.save_api_scope(a_filled_api_scope(f"scope-{number}"))
        await store.resources.save_api_resource(
            a_filled_api_resource(f"api-{number}", scopes={f"scope-{number}", f"scope-{number + 1}"})
        )
        await store.identity_providers.save_identity_provider(an_oidc_provider(f"scheme-{number}"))
    # Nothing of it is sealed, so that it can be read under other ids as well.
    client = a_filled_client("client-7", allowed_cors_origins={"https://7.example"}, pair_wise_subject_salt="sealed")
    await store.clients.save_client(client.model_copy(update={"pair_wise_subject_salt": None}))
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
