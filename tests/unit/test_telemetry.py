"""Telemetry around stores: what is recorded of an operation, and that a store behaves as it did."""

import asyncio
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mongostore.caching import CachingOptions, ConfigurationCaches
from mongostore.errors import NotFound
from mongostore.grants.outcomes import Redemption
from mongostore.mongo.documents import DOCUMENTS
from mongostore.observer import COLLECTIONS, Observer
from mongostore.options import StoreOptions
from mongostore.telemetry import Telemetry
from mongostore.testing import FakeClock


class Things:
    """A store of anything, which notes the span that it runs in."""

    size = 7

    def __init__(self) -> None:
        self.closed = False
        self.spans: list[trace.Span] = []

    async def give(self, value: Any) -> Any:
        """Gives back what it was given, or raises it."""
        self.spans.append(trace.get_current_span())
        if isinstance(value, BaseException):
            raise value
        return value

    async def remove(self, value: Any) -> Any:
        return value

    async def keep(self, value: Any) -> None:
        """Gives nothing, whatever comes of it."""
        return value

    async def is_origin_allowed(self, value: Any) -> Any:
        return value

    async def run(self) -> None:
        self.spans.append(trace.get_current_span())

    async def get_all(self, failure: BaseException | None = None) -> AsyncIterator[int]:
        try:
            for number in range(3):
                self.spans.append(trace.get_current_span())
                yield number
            if failure is not None:
                raise failure
        finally:
            self.closed = True

    def later(self, value: Any) -> Any:
        """No coroutine function, and gives something to await."""
        return asyncio.ensure_future(self.give(value))

    def now(self, value: Any) -> Any:
        return value


class Recorded:
    """What was exported of one pair of providers."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        tracer_provider = TracerProvider()
        tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.tracer = tracer_provider.get_tracer("test")
        self.telemetry = Telemetry(
            tracer_provider=tracer_provider, meter_provider=MeterProvider(metric_readers=[self._reader])
        )

    def observed(self, store: Any, attribute: str = "clients", tenant: str = "acme") -> Any:
        observer = Observer(StoreOptions(telemetry=self.telemetry), FakeClock(), system="mongodb")
        return observer.observed(store, attribute, tenant)

    @property
    def spans(self) -> list[Any]:
        return list(self._exporter.get_finished_spans())

    @property
    def metrics(self) -> dict[str, dict[tuple[tuple[str, Any], ...], Any]]:
        """By name and attributes: the value, or how many there were."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: {
                tuple(sorted(point.attributes.items())): getattr(point, "value", getattr(point, "count", None))
                for point in metric.data.data_points
            }
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


async def test_an_operation_is_one_span_and_one_measurement(recorded):
    """The snapshot: names, attributes and status of a span, and the histogram's point; no argument, no result."""
    assert await recorded.observed(Things()).give("hunter2") == "hunter2"
    [span] = recorded.spans
    assert (span.name, span.kind, span.status.status_code) == (
        "mongostore.clients.give",
        trace.SpanKind.INTERNAL,
        trace.StatusCode.UNSET,
    )
    assert dict(span.attributes) == {
        "db.system.name": "mongodb",
        "db.operation.name": "give",
        "db.collection.name": "clients",
        "mongostore.tenant": "acme",
        "mongostore.outcome": "ok",
    }
    assert (span.events, span.links, span.status.description) == ((), (), None)
    point = (("mongostore.operation", "clients.give"), ("mongostore.outcome", "ok"))
    assert recorded.metrics == {"mongostore.operation.duration": {point: 1}}


@pytest.mark.parametrize(
    ("method", "value", "outcome"),
    [
        ("give", "a value", "ok"),
        ("give", 0, "ok"),
        ("give", [], "ok"),
        ("give", None, "absent"),
        ("give", Redemption("replayed"), "replayed"),
        ("give", Redemption("unknown"), "unknown"),
        ("remove", True, "ok"),
        ("remove", False, "absent"),
        ("keep", None, "ok"),
        ("is_origin_allowed", False, "denied"),
        ("later", None, "absent"),
    ],
)
async def test_how_it_came_out(recorded, method, value, outcome):
    """One word of a small set, from the result."""
    assert await getattr(recorded.observed(Things()), method)(value) is value
    assert recorded.spans[0].attributes["mongostore.outcome"] == outcome


@pytest.mark.parametrize("error", [NotFound("hunter2"), ValueError("hunter2"), asyncio.CancelledError("hunter2")])
async def test_a_failure_is_named_and_not_quoted(recorded, error):
    """The class of the error, and a failed span; its message and its trace stay out."""
    with pytest.raises(type(error)) as caught:
        await recorded.observed(Things()).give(error)
    assert caught.value is error
    [span] = recorded.spans
    assert span.attributes["error.type"] == type(error).__name__
    assert span.attributes["mongostore.outcome"] == "error"
    assert span.status.status_code is trace.StatusCode.ERROR
    assert "hunter2" not in span.to_json()
    [point] = recorded.metrics["mongostore.operation.duration"]
    assert dict(point)["error.type"] == type(error).__name__


async def test_what_runs_inside_is_the_span_s_child(recorded):
    """Inside an operation its span is the current one, so that the driver's spans belong to it; outside it is not."""
    things = Things()
    with recorded.tracer.start_as_current_span("outer") as outer:
        await recorded.observed(things).give(1)
        assert trace.get_current_span() is outer
    inner, _ = recorded.spans
    assert things.spans[0].get_span_context() == inner.context
    assert inner.parent == outer.get_span_context()


async def test_an_iteration_is_one_operation(recorded):
    """From the first step to the last, however long the caller takes between two; its own spans are not ours."""
    things = Things()
    seen = []
    async for number in recorded.observed(things).get_all():
        seen.append(number)
        assert trace.get_current_span() is trace.INVALID_SPAN
        assert recorded.spans == []
    assert seen == [0, 1, 2]
    [span] = recorded.spans
    assert span.name == "mongostore.clients.get_all"
    assert [each.get_span_context() for each in things.spans] == [span.context] * 3


async def test_an_iteration_that_is_given_up_ends(recorded):
    """The span ends, and what is behind it is closed."""
    things = Things()
    items = recorded.observed(things).get_all()
    assert await anext(items) == 0
    await items.aclose()
    assert things.closed
    assert recorded.spans[0].attributes["mongostore.outcome"] == "ok"


async def test_an_iteration_that_fails_is_a_failure(recorded):
    """What it raises comes through, and is named."""
    with pytest.raises(NotFound):
        [each async for each in recorded.observed(Things()).get_all(NotFound("hunter2"))]
    assert recorded.spans[0].attributes["error.type"] == "NotFound"


async def test_everything_else_is_as_it_was(recorded):
    """Docstrings, signatures, kinds of functions, plain values; what a store lacks it still lacks."""
    things = Things()
    observed = recorded.observed(things)
    assert inspect.iscoroutinefunction(observed.give)
    assert inspect.signature(observed.give) == inspect.signature(things.give)
    assert observed.give.__doc__ == things.give.__doc__
    assert observed.give is observed.give
    assert (observed.size, observed.now(5), repr(observed)) == (7, 5, repr(things))
    assert not hasattr(observed, "missing")
    assert recorded.spans == []


async def test_what_goes_on_until_cancelled_has_no_span(recorded):
    """A span that ends with the process would be seen by nobody, and own everything."""
    things = Things()
    await recorded.observed(things).run()
    assert (things.spans, recorded.spans) == ([trace.INVALID_SPAN], [])


def test_without_telemetry_a_store_is_itself():
    """Nothing is put around it, so it costs what it did."""
    observer = Observer(StoreOptions(telemetry=False), FakeClock(), system="mongodb")
    store = Things()
    assert observer.observed(store, "clients", "acme") is store
    assert observer.announcing(store, "persisted_grants", "acme") is store


async def test_caches_are_counted_as_long_as_they_are_there(recorded):
    """Hits, misses and entries by cache, several stores' added up; a store that is gone is forgotten."""

    async def load() -> Any:
        return "loaded"

    caches = [ConfigurationCaches(CachingOptions(), FakeClock()) for _ in range(2)]
    for each in caches:
        recorded.telemetry.watch_caches(each)
        for _ in range(3):
            await each.clients.get(("acme", "web"), load)
    point = (("mongostore.cache", "clients"),)
    metrics = recorded.metrics
    assert metrics["mongostore.cache.hits"][point] == 4
    assert metrics["mongostore.cache.misses"][point] == 2
    assert metrics["mongostore.cache.entries"][point] == 2
    assert set(metrics["mongostore.cache.hits"]) == {(("mongostore.cache", name),) for name in caches[0].statistics()}
    del caches[:], each
    assert recorded.metrics.get("mongostore.cache.entries", {}) == {}


def test_collections_are_those_that_there_are():
    """`db.collection.name` is the frozen label of a noun."""
    assert set(COLLECTIONS.values()) <= {fields.label for fields in DOCUMENTS}


def test_without_the_package_everything_works():
    """No span, no error; only who asks for a `Telemetry` is told what to install."""
    program = """
import asyncio, sys
sys.modules["opentelemetry"] = None
from mongostore import ConfigurationError, MemoryStore
from mongostore.clock import SystemClock
from mongostore.observer import Observer
from mongostore.options import StoreOptions
from mongostore.telemetry import Telemetry
from mongostore.testing.factories import a_client

async def main():
    async with MemoryStore() as store:
        observer = Observer(StoreOptions(), SystemClock(), system="memory")
        assert observer.observed(store.clients, "clients", "a") is store.clients
        await store.clients.save_client(a_client())
        assert await store.clients.find_client_by_id("web") is not None
    try:
        Telemetry()
    except ConfigurationError as error:
        print(error)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "install mongostore with the extra 'otel'" in done.stdout
