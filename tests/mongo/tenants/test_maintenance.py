"""The maintenance of a deployment on MongoDB: several nodes, hundreds of tenants, tenants that fail or are gone."""

import asyncio
import logging
from datetime import timedelta

import pytest

from mongostore import ConfigurationError, MaintenanceReport, TenantMaintenance
from mongostore.errors import NotFound
from mongostore.testing.factories import a_grant, a_session

MILLISECOND = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TENANTS = 200
# The list of tenants, and for each of three jobs a lease taken and freed; what listens for changes, and renewals.
FOR_ALL = 20
PATIENCE_SECONDS = 30


async def expire_sessions(store, tenants, count=3):
    now = store.clock.now()
    for tenant in tenants:
        for number in range(count):
            await store.for_tenant(tenant).server_side_sessions.create_session(
                a_session(f"k{number}", session_id=f"s{number}", expires=now - MINUTE + number * MILLISECOND)
            )


def ignore(*_):
    """A callback with nothing to do."""


@pytest.mark.parametrize("placement", ["shared", "per tenant"])
async def test_of_two_nodes_one_does_each_job(placement, open_deployment, database_name, mongo_connection):
    """Both run; every session and grant of every tenant comes to one of them, once; the leases are the deployment's."""
    tenants = ["default", "acme", "beta"]
    seen = []

    def note_session(session, tenant):
        seen.append((tenant, session.key))

    def note_removed(kind, items, tenant):
        seen.extend((tenant, kind, item.key) for item in items)

    async with (
        open_deployment(database_name, placement) as first,
        open_deployment(database_name, placement, bare=True) as second,
    ):
        await expire_sessions(first, tenants, 15)
        for tenant in tenants:
            await first.for_tenant(tenant).persisted_grants.store(
                a_grant("old", expiration=first.clock.now() - MINUTE, creation_time=first.clock.now() - HOUR)
            )
        reports = await asyncio.gather(
            *(
                node.maintenance.run_once(on_expired_session=note_session, on_removed=note_removed)
                for node in (first, second) * 2
            )
        )
    assert len(seen) == len(set(seen)) == 3 * (15 + 1)
    assert sum(done.sessions + done.removed for report in reports for done in report.tenants.values()) == len(seen)
    assert any(report.skipped for report in reports)
    leases = {document["_id"] for document in mongo_connection[database_name]["leases"].find()}
    assert {each for each in leases if "maintenance" in each} == {
        "default|maintenance-keys",
        "default|maintenance-cleanup",
        "default|maintenance-sessions",
    }
    assert [each for each in leases if not each.startswith("default|")] == []


@pytest.mark.parametrize(("callbacks", "most"), [((), 2), (("sessions",), 3), (("sessions", "removed"), 6)], ids=str)
async def test_an_idle_tenant_costs_a_few_reads(callbacks, most, open_deployment, database_name, wire):
    """Of 200 tenants with nothing to do, each costs so many commands, none of them a write, and none stays in memory."""
    given = {"sessions": {"on_expired_session": ignore}, "removed": {"on_removed": ignore}}
    named = {name: callback for each in callbacks for name, callback in given[each].items()}
    async with open_deployment(database_name) as store:
        for number in range(TENANTS):
            await store.tenants.create(f"t{number}")
        # One that is not new: it has keys, and sessions.
        await expire_sessions(store, ["t7"])
        await store.for_tenant("t7").signing.get_signing_credentials()
    async with open_deployment(database_name, listener=wire, bare=True) as store:
        await store.maintenance.run_once(on_expired_session=ignore)
        wire.sent.clear()
        assert await store.maintenance.run_once(**named) == MaintenanceReport(looked_after=TENANTS + 1)
        commands = [next(iter(command)) for command in wire.sent]
        assert TENANTS < len(commands) <= most * (TENANTS + 1) + FOR_ALL
        writes = [command for command in wire.sent if next(iter(command)) not in ("find", "aggregate", "getMore")]
        assert {command.get(next(iter(command))) for command in writes} <= {"leases"}
        assert len(writes) <= FOR_ALL
        assert len(store._of_tenants) == 0


async def test_tenants_that_fail_stop_no_other(open_deployment, database_name, mongo_connection, caplog):
    """One with destroyed keys, one with damaged records and one whose clients do not answer: each is told of once."""
    tenants = ["acme", "beta", "damaged", "deaf", "destroyed", "zeta"]

    def notify(_session, tenant):
        if tenant == "deaf":
            raise ConnectionError

    async with open_deployment(database_name) as store:
        await expire_sessions(store, tenants)
        await store.key_ring.destroy("destroyed")
        sessions = mongo_connection[database_name].get_collection("sessions")
        garbage = {"$set": {"payload": bytes([1]) + bytes(100)}}
        assert sessions.update_many({"tenant": "damaged"}, garbage).modified_count == 3
        # As another node has it: this one may still have the keys at hand.
        async with open_deployment(database_name, bare=True) as node:
            for _ in range(2):
                with caplog.at_level(logging.WARNING, "mongostore"):
                    report = await node.maintenance.run_once(on_expired_session=notify)
                told = [record.getMessage() for record in caplog.records]
                failed = {tenant for tenant, done in report.tenants.items() if done.failures}
                assert failed == {"damaged", "deaf", "destroyed"}
                for tenant in failed:
                    assert report.tenants[tenant] == TenantMaintenance(failures=("sessions",))
                    assert sum(f"(sessions) of tenant {tenant} failed" in line for line in told) == 1
                caplog.clear()
                node.clock.advance(2 * MINUTE)
        assert sessions.distinct("tenant") == ["damaged", "deaf", "destroyed"]


@pytest.mark.parametrize("placement", ["shared", "per tenant"])
async def test_a_tenant_that_is_gone_is_not_brought_back(placement, open_deployment, database_name, mongo_connection):
    """A node that saw a tenant before it was deleted makes no key, no lease, no database and no entry for it."""
    async with open_deployment(database_name, placement) as store:
        acme = store.for_tenant("acme")
        await expire_sessions(store, ["acme"])
        await acme.signing.get_signing_credentials()
        async with open_deployment(database_name, placement, bare=True) as node:
            upkeep = node._upkeep_of("acme")
            await store.tenants.delete("acme")
            before = [key["_id"] for key in mongo_connection[database_name]["data_keys"].find()]
            node.clock.advance(365 * DAY)
            with pytest.raises(NotFound):
                await upkeep.key_ring.rotate_if_due()
            assert await upkeep.signing.rotate_if_due() == 0
            assert (await upkeep.expiry.process_batch(ignore)).claimed == 0
            assert await node.tenants.list() == []
        database = mongo_connection[database_name]
        assert [key["_id"] for key in database["data_keys"].find()] == before
        assert database["leases"].count_documents({"tenant": "acme"}) == 0
        assert f"{database_name}_acme" not in mongo_connection.list_database_names()


async def test_a_tenant_that_goes_within_its_turn_gets_no_key(open_deployment, database_name, mongo_connection, wire):
    """It is deleted between the look at its signing keys and the making of the next one: that is not stored."""
    database = mongo_connection[database_name]

    def strike(_database, command):
        if command.get("find") == "signing_keys":
            database["tenants"].delete_many({"_id": "acme"})

    async with open_deployment(database_name) as store:
        await store.for_tenant("acme").signing.get_signing_credentials()
        keys = database["signing_keys"].count_documents({"tenant": "acme"})
    async with open_deployment(database_name, listener=wire, bare=True) as node:
        node.clock.advance(80 * DAY)
        wire.before_sending = strike
        report = await node.maintenance.run_once()
        wire.before_sending = None
        assert report == MaintenanceReport(looked_after=2)
        assert await node.tenants.list() == []
    assert database["signing_keys"].count_documents({"tenant": "acme"}) == keys


async def test_closing_the_store_ends_the_run(open_deployment, database_name):
    """Whether it pauses or is at work: it returns, and its task has no error that nobody asked for."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def process(_session, _tenant):
        reached.set()
        await go_on.wait()

    async with open_deployment(database_name) as store:
        await expire_sessions(store, ["default", "acme"])
        at_work = asyncio.create_task(store.maintenance.run(on_expired_session=process))
        await asyncio.wait_for(reached.wait(), PATIENCE_SECONDS)
        pausing = asyncio.create_task(store.maintenance.run(interval=DAY))
        await asyncio.sleep(0)
    go_on.set()
    done, _ = await asyncio.wait([at_work, pausing], timeout=PATIENCE_SECONDS)
    assert [task.exception() for task in done] == [None, None]


async def test_a_store_that_is_not_open_says_so(open_deployment, database_name):
    """Neither a round nor a run waits for somebody to open it."""
    async with open_deployment(database_name) as store:
        pass
    for call in (store.maintenance.run, store.maintenance.run_once):
        with pytest.raises(ConfigurationError):
            await asyncio.wait_for(call(), PATIENCE_SECONDS)
