"""Spans and metrics through OpenTelemetry's API alone: where nobody has set up its SDK, they go nowhere.

Recorded are the operation, what kind of records it was about, the tenant (on spans), the time it took and how it came out.
Never an argument or a result: handles, payloads, subjects and error messages stay here.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol, Self

from mongostore.errors import ConfigurationError

try:
    from opentelemetry import context, metrics, trace
except ImportError:
    _INSTALLED = False
else:
    _INSTALLED = True

SCOPE = "mongostore"

# In seconds: the stores answer in fractions of a millisecond, and give up after some seconds.
_DURATION_BOUNDARIES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class CacheCounts(Protocol):
    """What a cache has done; see `mongostore.caching.CacheStatistics`."""

    @property
    def hits(self) -> int:
        """Look-ups answered from memory."""

    @property
    def misses(self) -> int:
        """Look-ups that waited for a load."""

    @property
    def entries(self) -> int:
        """What it holds."""


class Telemetry:
    """Where spans and metrics of the stores go.

    Of one operation, a span `mongostore.<attribute>.<method>` of kind INTERNAL, with `db.system.name`,
    `db.operation.name`, `db.collection.name`, `mongostore.tenant`, `mongostore.outcome`, and `error.type` on failure
    (OpenTelemetry's conventions for databases, as far as they have names).

    Metrics: `mongostore.operation.duration` (histogram, seconds), `mongostore.events` (counter),
    `mongostore.cache.hits`, `mongostore.cache.misses` (observable counters), `mongostore.cache.entries` (observable gauge).
    """

    def __init__(
        self,
        *,
        tracer_provider: "trace.TracerProvider | None" = None,
        meter_provider: "metrics.MeterProvider | None" = None,
    ) -> None:
        """Args: whose tracer and meter to use; by default, those set up for the process, now or later.

        Raises:
            ConfigurationError: the package `opentelemetry-api` is not installed.
        """
        if not _INSTALLED:
            raise ConfigurationError(
                "the package opentelemetry-api is not installed: install mongostore with the extra 'otel', "
                "or leave StoreOptions.telemetry at True, which needs no package"
            )
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            "mongostore.operation.duration",
            unit="s",
            description="How long operations of the stores take",
            explicit_bucket_boundaries_advisory=_DURATION_BOUNDARIES,
        )
        self._events = meter.create_counter("mongostore.events", unit="{event}", description="What an auditor hears of")
        # Weak: a store that is gone is not kept for its numbers.
        self._caches: weakref.WeakSet[_CacheSource] = weakref.WeakSet()
        meter.create_observable_counter(
            "mongostore.cache.hits", [self._observe_hits], "{lookup}", "Look-ups answered from memory"
        )
        meter.create_observable_counter(
            "mongostore.cache.misses", [self._observe_misses], "{lookup}", "Look-ups that waited for the database"
        )
        meter.create_observable_gauge("mongostore.cache.entries", [self._observe_entries], "{entry}", "What is kept")

    def operation(self, name: str, attributes: Mapping[str, str]) -> "Operation":
        """What an operation runs in: `with telemetry.operation("clients.save_client", {…}) as operation: …`.

        Args:
            name: attribute and method.
            attributes: of the span.
        """
        return Operation(name, self._tracer.start_span(f"{SCOPE}.{name}", attributes=attributes), self._duration)

    def count_event(self, kind: str) -> None:
        """Count something that the events' hook is told."""
        self._events.add(1, {"mongostore.event": kind})

    def watch_caches(self, caches: "_CacheSource") -> None:
        """Report what these caches do, for as long as they are there; several stores' numbers are added up."""
        self._caches.add(caches)

    def _observe_hits(self, _: object) -> "Iterable[metrics.Observation]":
        return self._observe(lambda counts: counts.hits)

    def _observe_misses(self, _: object) -> "Iterable[metrics.Observation]":
        return self._observe(lambda counts: counts.misses)

    def _observe_entries(self, _: object) -> "Iterable[metrics.Observation]":
        return self._observe(lambda counts: counts.entries)

    def _observe(self, number: Callable[[CacheCounts], int]) -> "Iterable[metrics.Observation]":
        totals: dict[str, int] = {}
        for source in list(self._caches):
            for name, counts in source.statistics().items():
                totals[name] = totals.get(name, 0) + number(counts)
        return [metrics.Observation(total, {"mongostore.cache": name}) for name, total in totals.items()]


class _CacheSource(Protocol):
    def statistics(self) -> Mapping[str, CacheCounts]:
        """What each cache has done, by its name."""


class Operation:
    """One operation of a store, from its beginning to its end.

    Attributes:
        outcome: how it came out; "error" when it raised.
    """

    __slots__ = ("_begun", "_duration", "_name", "_span", "_token", "outcome")

    def __init__(self, name: str, span: "trace.Span", duration: "metrics.Histogram") -> None:
        self.outcome = "ok"
        self._name = name
        self._span = span
        self._duration = duration
        self._token: Any = None
        self._begun = perf_counter()

    def __enter__(self) -> Self:
        """Let what runs inside be the span's."""
        # A span of nobody's is none that others could belong to, and making it the current one costs the most.
        if self._span.get_span_context().is_valid:
            self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the span, and record the time."""
        if self._token is not None:
            context.detach(self._token)
        self.end(kind)

    def end(self, failure: type[BaseException] | None = None) -> None:
        """End the span without leaving it, and record the time."""
        attributes = {"mongostore.operation": self._name}
        if failure is not None:
            self.outcome = "error"
            # The name alone: what a message holds is not known of every error.
            attributes["error.type"] = failure.__name__
        attributes["mongostore.outcome"] = self.outcome
        self._duration.record(perf_counter() - self._begun, attributes)
        if self._span.is_recording():
            del attributes["mongostore.operation"]
            self._span.set_attributes(attributes)
            if failure is not None:
                self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()

    @contextmanager
    def step(self) -> Iterator[None]:
        """One step of an operation that its caller takes step by step: only inside is the span the current one."""
        with trace.use_span(self._span, record_exception=False, set_status_on_exception=False):
            yield


@cache
def process_telemetry() -> Telemetry | None:
    """What all stores of the process share, since an instrument exists once in it; None without the package."""
    return Telemetry() if _INSTALLED else None
