"""What `store.maintenance` does for all tenants of a deployment, on every backend.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()` and default options, on a
schema that was applied.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from mongostore.maintenance import MaintenanceReport, TenantMaintenance
from mongostore.models import ServerSideSession
from mongostore.testing.factories import a_client, a_grant, a_pushed_request, a_session, a_ticket

MILLISECOND = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# The defaults of SigningOptions and KeyRotationPolicy.
SIGNING_KEY_IS_DUE = 76 * DAY
DATA_KEY_IS_DUE = 90 * DAY - HOUR
SESSIONS_PER_TURN = 10
# Real time: only a failure waits this long.
PATIENCE_SECONDS = 60


class Seen:
    """Remembers the callbacks of a round; raises for the tenants named."""

    def __init__(self, *failing: str) -> None:
        self.sessions: list[tuple[str, str]] = []
        self.removed: list[tuple[str, str, str]] = []
        self.failing = set(failing)

    async def on_expired_session(self, session: ServerSideSession, tenant: str) -> None:
        self.sessions.append((tenant, session.key))
        self._fail(tenant)

    def on_removed(self, kind: str, items: Sequence[Any], tenant: str) -> None:
        self.removed += [(tenant, kind, getattr(item, "key", "")) for item in items]
        self._fail(tenant)

    async def round(self, store: Any) -> MaintenanceReport:
        """Make one, both callbacks given."""
        report = await store.maintenance.run_once(
            on_expired_session=self.on_expired_session, on_removed=self.on_removed
        )
        assert isinstance(report, MaintenanceReport)
        return report

    def _fail(self, tenant: str) -> None:
        if tenant in self.failing:
            raise ConnectionError("the client does not answer")


class MaintenanceContract:
    """One loop that looks after every tenant."""

    async def test_expired_sessions_of_all_tenants_are_processed(self, store: Any) -> None:
        """The callback gets each once, and whose it is; then they are gone, and the tokens that follow them too."""
        for tenant in ("default", "acme", "beta"):
            stores = store.for_tenant(tenant)
            await stores.clients.save_client(a_client("web", coordinate_lifetime_with_user_session=True))
            await stores.tickets.store(a_ticket(expires=store.clock.now() + MINUTE, client_ids=["web"]))
            await stores.persisted_grants.store(a_grant("token"))
        await store.for_tenant("acme").server_side_sessions.create_session(a_session("live"))
        store.clock.advance(MINUTE)
        seen = Seen()
        report = await seen.round(store)
        assert sorted(tenant for tenant, _ in seen.sessions) == ["acme", "beta", "default"]
        assert report == MaintenanceReport(
            tenants=dict.fromkeys(("acme", "beta", "default"), TenantMaintenance(sessions=1)), looked_after=3
        )
        for tenant in ("default", "acme", "beta"):
            assert await store.for_tenant(tenant).persisted_grants.get("token") is None
        assert await store.for_tenant("acme").server_side_sessions.get_session("live") is not None
        assert json.loads(json.dumps(asdict(report)))["tenants"]["acme"]["sessions"] == 1
        store.clock.advance(MINUTE)
        assert await seen.round(store) == MaintenanceReport(looked_after=3)

    async def test_what_expired_is_told_and_removed_for_all_tenants(self, store: Any) -> None:
        """Grants are told with their tenant and removed, pushed requests untold; what has time left stays."""
        for tenant in ("acme", "default"):
            stores = store.for_tenant(tenant)
            await self._add_grants(stores, 3)
            await stores.persisted_grants.store(a_grant("live", expiration=None))
            await stores.pushed_authorization_requests.store(
                a_pushed_request("par", expires_at_utc=store.clock.now() + MINUTE)
            )
        store.clock.advance(HOUR)
        seen = Seen()
        report = await seen.round(store)
        assert sorted(seen.removed) == [
            (tenant, "persisted_grants", f"k{number}") for tenant in ("acme", "default") for number in range(3)
        ]
        assert report.tenants == dict.fromkeys(("acme", "default"), TenantMaintenance(removed=4))
        for tenant in ("acme", "default"):
            grants = store.for_tenant(tenant).persisted_grants
            assert (await grants.remove("k0"), await grants.remove("live")) == (False, True)

    async def test_nothing_is_done_that_nobody_is_told_of(self, store: Any) -> None:
        """Without callbacks, expired sessions and grants stay for who processes them: no logout is lost."""
        await self._add_grants(store, 1)
        store.clock.advance(HOUR)
        await self._add_expired_sessions(store, 1)
        assert await store.maintenance.run_once() == MaintenanceReport(looked_after=1)
        seen = Seen()
        report = await seen.round(store)
        assert report.tenants == {"default": TenantMaintenance(removed=1, sessions=1)}

    async def test_keys_are_made_ahead_for_all_who_have_some(self, store: Any) -> None:
        """Of every tenant the next data key and signing key are stored in time; where there is none, none is made."""
        for tenant in ("default", "acme", "beta"):
            await store.tenants.create(tenant)
            await store.for_tenant(tenant).messages.delete("nothing")
        for tenant in ("default", "acme"):
            await store.for_tenant(tenant).key_ring.rotate()
            await store.for_tenant(tenant).signing.get_signing_credentials()
        assert await self._keys(store, "acme") == (1, 1)
        store.clock.advance(SIGNING_KEY_IS_DUE)
        report = await store.maintenance.run_once()
        assert report.tenants == dict.fromkeys(("acme", "default"), TenantMaintenance(keys=1))
        assert await self._keys(store, "acme") == (1, 2)
        store.clock.advance(DATA_KEY_IS_DUE - SIGNING_KEY_IS_DUE)
        report = await store.maintenance.run_once()
        assert report.tenants == dict.fromkeys(("acme", "default"), TenantMaintenance(keys=1))
        assert await self._keys(store, "acme") == await self._keys(store, "default") == (2, 2)
        assert await self._keys(store, "beta") == (0, 0)
        assert (await store.maintenance.run_once()).tenants == {}

    async def test_a_failing_tenant_stops_no_other(self, store: Any, caplog: pytest.LogCaptureFixture) -> None:
        """A callback that always fails for one tenant is logged and reported, once for each job; the next round retries."""
        for tenant in ("acme", "beta", "default"):
            await self._add_grants(store.for_tenant(tenant), 2)
            await self._add_expired_sessions(store.for_tenant(tenant), 25)
        store.clock.advance(HOUR)
        seen = Seen("acme")
        with caplog.at_level(logging.WARNING, "mongostore"):
            report = await seen.round(store)
        done = TenantMaintenance(removed=2, sessions=25)
        assert report.tenants == {
            "acme": TenantMaintenance(failures=("cleanup", "sessions")),
            "beta": done,
            "default": done,
        }
        assert [record.getMessage().partition(" failed")[0] for record in caplog.records] == [
            "The maintenance (cleanup) of tenant acme",
            "The maintenance (sessions) of tenant acme",
        ]
        # After a batch that failed as a whole, the rest is not tried in vain.
        assert sum(tenant == "acme" for tenant, _ in seen.sessions) == SESSIONS_PER_TURN
        store.clock.advance(MINUTE)
        seen = Seen()
        assert (await seen.round(store)).tenants == {"acme": done}

    async def test_a_failing_session_holds_up_no_other(self, store: Any, caplog: pytest.LogCaptureFixture) -> None:
        """Of one tenant's sessions, those whose callback fails come again; the log has one line for all of them."""
        await self._add_expired_sessions(store, 35)
        failing = {"k0", "k13", "k34"}

        def process(session: ServerSideSession, _tenant: str) -> None:
            if session.key in failing:
                raise ConnectionError

        with caplog.at_level(logging.WARNING, "mongostore"):
            report = await store.maintenance.run_once(on_expired_session=process)
        assert report.tenants == {"default": TenantMaintenance(sessions=32, failures=("sessions",))}
        assert len(caplog.records) == 1
        store.clock.advance(MINUTE)
        seen = Seen()
        await seen.round(store)
        assert {key for _, key in seen.sessions} == failing

    async def test_tenants_take_turns(self, store: Any) -> None:
        """A tenant with a backlog holds up the others for one batch, and is done behind them in the same round."""
        await self._add_expired_sessions(store.for_tenant("acme"), 5 * SESSIONS_PER_TURN + 1)
        for tenant in ("beta", "gamma"):
            await self._add_expired_sessions(store.for_tenant(tenant), 1)
        seen = Seen()
        report = await seen.round(store)
        order = [tenant for tenant, _ in seen.sessions]
        assert order[: SESSIONS_PER_TURN + 2] == ["acme"] * SESSIONS_PER_TURN + ["beta", "gamma"]
        assert report.tenants["acme"].sessions == order.count("acme") == 5 * SESSIONS_PER_TURN + 1

    async def test_tenants_take_turns_in_the_clean_up(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Likewise with a backlog of expired grants; here, after each batch it is the next one's turn."""
        monkeypatch.setattr("mongostore.maintenance._BATCHES_PER_TURN", 1)
        await self._add_grants(store.for_tenant("acme"), 120)
        await self._add_grants(store.for_tenant("beta"), 1)
        store.clock.advance(HOUR)
        seen = Seen()
        report = await seen.round(store)
        assert [tenant for tenant, *_ in seen.removed].index("beta") == 100
        assert report.tenants["acme"].removed == 120

    async def test_a_new_tenant_is_seen_by_the_next_round(self, store: Any) -> None:
        """Nobody has to name tenants."""
        seen = Seen()
        assert (await seen.round(store)).looked_after == 1
        await self._add_expired_sessions(store.for_tenant("acme"), 1)
        assert (await seen.round(store)).looked_after == 2
        assert seen.sessions == [("acme", "k0")]

    async def test_a_tenant_that_is_deleted_meanwhile_is_left_alone(self, store: Any) -> None:
        """It is neither brought back nor a failure, and its turn does nothing."""
        for tenant in ("acme", "beta"):
            await self._add_expired_sessions(store.for_tenant(tenant), 1)
            await store.for_tenant(tenant).signing.get_signing_credentials()
        seen = []

        async def delete_the_others(session: ServerSideSession, tenant: str) -> None:
            seen.append((tenant, session.key))
            await store.tenants.delete("beta")

        report = await store.maintenance.run_once(on_expired_session=delete_the_others)
        assert seen == [("acme", "k0")]
        assert report.tenants == {"acme": TenantMaintenance(sessions=1)}
        assert await store.tenants.list() == ["acme"]
        store.clock.advance(SIGNING_KEY_IS_DUE)
        assert (await store.maintenance.run_once()).looked_after == 2
        assert await store.tenants.list() == ["acme"]

    async def test_two_at_once_share_the_work(self, store: Any) -> None:
        """Every session and every grant comes to one of them, once; a job at which the other one was is skipped."""
        for tenant in ("acme", "beta", "default"):
            await self._add_grants(store.for_tenant(tenant), 20)
            await self._add_expired_sessions(store.for_tenant(tenant), 20)
        store.clock.advance(HOUR)
        seen = Seen()
        reports = await asyncio.gather(*(seen.round(store) for _ in range(3)))
        assert len(seen.sessions) == len(set(seen.sessions)) == 60
        assert len(seen.removed) == len(set(seen.removed)) == 60
        assert any(report.skipped for report in reports)
        assert sum(each.sessions for report in reports for each in report.tenants.values()) == 60

    async def test_run_makes_rounds_until_it_is_cancelled(self, store: Any) -> None:
        """Round after round, failures notwithstanding; a cancellation ends it, and frees the leases."""
        await self._add_expired_sessions(store.for_tenant("acme"), 1)
        seen = Seen("acme")
        task = asyncio.create_task(
            store.maintenance.run(on_expired_session=seen.on_expired_session, interval=5 * MILLISECOND)
        )
        await self._until(lambda: len(seen.sessions) == 1, task)
        await self._add_expired_sessions(store.for_tenant("beta"), 1)
        await self._until(lambda: len(seen.sessions) == 2, task)
        seen.failing.clear()
        store.clock.advance(MINUTE)
        await self._until(lambda: len(seen.sessions) == 3, task)
        assert seen.sessions == [("acme", "k0"), ("beta", "k0"), ("acme", "k0")]
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        assert task.cancelled()
        await self._add_expired_sessions(store, 1)
        assert (await seen.round(store)).tenants == {"default": TenantMaintenance(sessions=1)}

    async def test_a_cancellation_in_the_middle_ends_it_at_once(self, store: Any) -> None:
        """What was in work comes again when its lease is over, and the job is free for the next node."""
        await self._add_expired_sessions(store.for_tenant("acme"), 3)
        reached = asyncio.Event()

        async def hang(_session: ServerSideSession, _tenant: str) -> None:
            reached.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(store.maintenance.run(on_expired_session=hang))
        await asyncio.wait_for(reached.wait(), PATIENCE_SECONDS)
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        assert task.cancelled()
        store.clock.advance(MINUTE)
        seen = Seen()
        assert (await seen.round(store)).skipped == ()
        assert len(seen.sessions) == 3

    async def test_run_says_that_it_serves_all_tenants(self, store: Any, caplog: pytest.LogCaptureFixture) -> None:
        """Its log names what it does at the start."""
        with caplog.at_level(logging.INFO, "mongostore"):
            task = asyncio.create_task(store.maintenance.run(on_expired_session=print))
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert "All tenants are looked after every 0:10:00: keys, sessions" in caplog.text

    @pytest.mark.parametrize(
        ("arguments", "error", "names"),
        [
            ({"on_expired_session": "tell"}, TypeError, "on_expired_session"),
            ({"on_removed": 1}, TypeError, "on_removed"),
            ({"interval": 600}, TypeError, "interval"),
            ({"interval": timedelta(0)}, ValueError, "interval"),
            ({"interval": timedelta.max}, ValueError, "interval"),
        ],
        ids=repr,
    )
    async def test_arguments_are_checked_at_the_door(
        self, store: Any, arguments: dict[str, Any], error: type[Exception], names: str
    ) -> None:
        """What can't work is refused before anything is done, by name."""
        with pytest.raises(error, match=names):
            await store.maintenance.run(**arguments)
        if "interval" not in arguments:
            with pytest.raises(error, match=names):
                await store.maintenance.run_once(**arguments)

    def test_it_is_the_deployment_s(self, store: Any) -> None:
        """A tenant's stores have none: it would look after the others, too."""
        assert not hasattr(store.for_tenant("acme"), "maintenance")

    async def _add_grants(self, stores: Any, count: int) -> None:
        """Add grants that expire in half an hour by the store's clock: by the real one, MongoDB's TTL leaves them alone."""
        expiration = stores.clock.now() + HOUR / 2
        await asyncio.gather(
            *(stores.persisted_grants.store(a_grant(f"k{number}", expiration=expiration)) for number in range(count))
        )

    async def _add_expired_sessions(self, stores: Any, count: int) -> None:
        now = stores.clock.now()
        for number in range(count):
            await stores.server_side_sessions.create_session(
                a_session(f"k{number}", session_id=f"s{number}", expires=now - MINUTE + number * MILLISECOND)
            )

    async def _keys(self, store: Any, tenant: str) -> tuple[int, int]:
        """How many data keys and signing keys a tenant has."""
        stores = store.for_tenant(tenant)
        status = await stores.key_ring.status()
        return len(status.keys), len(await stores.signing_keys.load_keys())

    async def _until(self, condition: Any, task: "asyncio.Task[None]") -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition() and not task.done():  # noqa: ASYNC110 - the condition is about what callbacks have seen
                await asyncio.sleep(0.005)
        assert not task.done(), task.exception()
