"""The spans and metrics of a store as it is put together: a snapshot of each, and what they cost."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mongostore import LocalMasterKey, MemoryStore, MongoStore, StoreOptions
from mongostore.errors import StaleRevision
from mongostore.telemetry import Telemetry
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_client, a_grant, a_refresh_token, a_session, an_authorization_code

# What other services of a store work with, and a server does not call.
# `maintenance` runs for as long as the store is open; each thing that it does has a span of its own.
INTERNAL = {"clock", "caches", "cleanup_records", "job_leases", "maintenance"}


class Exported:
    """What a store exported.

    Attributes:
        options: of a store that exports here.
    """

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        tracer_provider = TracerProvider()
        tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        meter_provider = MeterProvider(metric_readers=[self._reader])
        self.options = StoreOptions(telemetry=Telemetry(tracer_provider=tracer_provider, meter_provider=meter_provider))

    def spans(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and attributes, in the order in which they ended."""
        return [(span.name, dict(span.attributes or {})) for span in self._spans.get_finished_spans()]

    def metrics(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """By name: attributes and the value, or the number of measurements."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: [
                (dict(point.attributes), getattr(point, "value", getattr(point, "count", None)))
                for point in metric.data.data_points
            ]
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def exported() -> Exported:
    return Exported()


@pytest.fixture
async def store(mongo_uri, prepared_database, exported) -> AsyncIterator[MongoStore]:
    async with MongoStore(
        mongo_uri,
        database=prepared_database,
        master_key=LocalMasterKey.generate(),
        options=exported.options,
        clock=FakeClock(),
    ) as opened:
        yield opened


def a_span(operation: str, collection: str, outcome: str = "ok", **more: str) -> tuple[str, dict[str, str]]:
    return f"mongostore.{operation}", {
        "db.system.name": "mongodb",
        "db.operation.name": operation.partition(".")[2],
        "db.collection.name": collection,
        "mongostore.tenant": "default",
        "mongostore.outcome": outcome,
        **more,
    }


async def test_the_spans_of_a_login(store, exported):
    """One span for each call of the server's, none for what the stores do among themselves."""
    await store.clients.save_client(a_client())
    await store.clients.find_enabled_client_by_id("web")
    await store.clients.find_client_by_id("nobody")
    handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
    family = (await store.authorization_codes.redeem_authorization_code(handle)).family
    await store.authorization_codes.redeem_authorization_code(handle)
    token = await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)
    await store.refresh_tokens.rotate_refresh_token(token, a_refresh_token())
    await store.refresh_tokens.rotate_refresh_token(token, a_refresh_token())
    await store.refresh_tokens.get_refresh_token(token)
    with pytest.raises(StaleRevision):
        await store.clients.save_client(a_client(), expected_revision=7)
    assert exported.spans() == [
        a_span("clients.save_client", "clients"),
        a_span("clients.find_enabled_client_by_id", "clients"),
        a_span("clients.find_client_by_id", "clients", "absent"),
        a_span("authorization_codes.store_authorization_code", "grants"),
        a_span("authorization_codes.redeem_authorization_code", "grants", "redeemed"),
        a_span("authorization_codes.redeem_authorization_code", "grants", "replayed"),
        a_span("refresh_tokens.store_refresh_token", "grants"),
        a_span("refresh_tokens.rotate_refresh_token", "grants", "rotated"),
        a_span("refresh_tokens.rotate_refresh_token", "grants", "replayed"),
        a_span("refresh_tokens.get_refresh_token", "grants", "absent"),
        a_span("clients.save_client", "clients", "error", **{"error.type": "StaleRevision"}),
    ]


async def test_the_metrics_of_a_login(store, exported):
    """Durations by operation and outcome, look-ups in the caches, events; no tenant, of whom there may be thousands."""
    await store.clients.save_client(a_client())
    for _ in range(3):
        await store.clients.find_client_by_id("web")
    handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
    for _ in range(2):
        await store.authorization_codes.redeem_authorization_code(handle)
    metrics = exported.metrics()
    assert metrics.keys() == {
        "mongostore.operation.duration",
        "mongostore.events",
        "mongostore.cache.hits",
        "mongostore.cache.misses",
        "mongostore.cache.entries",
    }
    measured = [
        (point["mongostore.operation"], point["mongostore.outcome"], count)
        for point, count in metrics["mongostore.operation.duration"]
        if point.keys() == {"mongostore.operation", "mongostore.outcome"}
    ]
    assert sorted(measured) == [
        ("authorization_codes.redeem_authorization_code", "redeemed", 1),
        ("authorization_codes.redeem_authorization_code", "replayed", 1),
        ("authorization_codes.store_authorization_code", "ok", 1),
        ("clients.find_client_by_id", "ok", 3),
        ("clients.save_client", "ok", 1),
    ]
    assert metrics["mongostore.events"] == [({"mongostore.event": "replayed"}, 1)]
    # The change stream may bring the save in between, and the next look-up is a miss again.
    counts = store.caches.statistics()["clients"]
    assert counts.hits + counts.misses == 3
    assert ({"mongostore.cache": "clients"}, counts.misses) in metrics["mongostore.cache.misses"]
    assert ({"mongostore.cache": "clients"}, counts.hits) in metrics["mongostore.cache.hits"]


async def test_a_tenant_is_on_its_spans(store, exported):
    """And the iteration over its clients is one span."""
    assert [client async for client in store.for_tenant("acme").clients.get_all_clients()] == []
    assert exported.spans() == [
        (
            "mongostore.clients.get_all_clients",
            a_span("clients.get_all_clients", "clients")[1] | {"mongostore.tenant": "acme"},
        )
    ]


async def test_every_attribute_is_observed(store, exported):
    """Whatever a server calls has a span: no attribute with asynchronous methods is forgotten."""
    attributes = {
        name: value for name, value in vars(store).items() if not name.startswith("_") and name not in INTERNAL
    }
    assert len(attributes) > 15
    assert [name for name, value in attributes.items() if type(value).__name__ != "_Observed"] == []


async def test_a_write_that_gives_nothing_is_no_absence(store, exported):
    """Whatever stands around the store: for the default tenant, and for one that is brought into being by it."""
    for stores in (store, store.for_tenant("acme")):
        await stores.persisted_grants.store(a_grant("k"))
        await stores.server_side_sessions.create_session(a_session("s"))
        await stores.server_side_sessions.update_session(a_session("s"))
        await stores.persisted_grants.get("nothing")
    outcomes = [attributes["mongostore.outcome"] for _, attributes in exported.spans()]
    assert outcomes == ["ok", "ok", "ok", "absent"] * 2


async def test_memory_has_the_same_spans(exported):
    """With its own name for the system."""
    async with MemoryStore(options=exported.options) as memory:
        await memory.clients.find_client_by_id("nobody")
    [(name, attributes)] = exported.spans()
    assert (name, attributes["db.system.name"]) == ("mongostore.clients.find_client_by_id", "memory")


async def test_without_telemetry_nothing_is_put_around_the_stores(mongo_uri, prepared_database):
    """The stores are their own classes: a hot path costs what it did."""
    options = StoreOptions(telemetry=False)
    store = MongoStore(mongo_uri, database=prepared_database, master_key=LocalMasterKey.generate(), options=options)
    for name, value in vars(store).items():
        assert type(value).__module__ != "mongostore.observer" or name == "_observer", name
