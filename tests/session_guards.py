"""What no run may leave behind, whichever test it comes from: secrets in logs and in spans, and processes that still run.

A test that happens to be the last one is not to blame for what another one left, and to run it again proves nothing. So the
guards decide when every test is over, and fail the session. With pytest-xdist, each worker hands what it found to the
controller, which decides.
"""

import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

# A handle as the stores make it, the text form of a master key, a private part of a JWK, and what the factories put into
# codes.
SECRET = re.compile(
    r"[0-9A-F]{64}-1|mongostore-master-1:[A-Za-z0-9_-]{48}|\"d\": ?\"|n-0S6_WzA2Mj|E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw"
)
# For a process that was told to end.
ENDING_SECONDS = 5
_HANDED_OVER = "mongostore_session_guards"


class SessionGuards:
    """A pytest plugin that watches a whole run.

    Attributes:
        found: a line for each thing that should not be, without the secret.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        # Where the run was, by the time since the machine started, as the system notes it of processes.
        self._places = [(0.0, "before the first test")]

    def pytest_configure(self) -> None:
        stores = logging.getLogger("mongostore")
        stores.addHandler(_LogWatch(self))
        stores.setLevel(logging.DEBUG)
        provider = TracerProvider()
        provider.add_span_processor(_SpanWatch(self))
        trace.set_tracer_provider(provider)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._enter(f"in the set-up of {item.nodeid}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        self._enter(f"in {item.nodeid}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        self._enter(f"in or after the teardown of {item.nodeid}")

    def add(self, what: str, place: str | None = None) -> None:
        """Note what should not be; where the run is now unless a place is given."""
        line = f"{what} {place or self._places[-1][1]}"
        if line not in self.found:
            self.found.append(line)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """In the controller: one worker has ended."""
        handed_over = getattr(node, "workeroutput", {}).get(_HANDED_OVER)
        if handed_over is None:
            handed_over = [f"worker {node.gateway.id} ended without a word of what it found"]
        self.found += (line for line in handed_over if line not in self.found)

    @pytest.hookimpl(trylast=True)  # After the teardown of what an interrupted run had still open.
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if not session.config.pluginmanager.hasplugin("dsession"):  # A controller's processes are its workers.
            self._look_for_processes()
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[_HANDED_OVER] = self.found
        elif self.found and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.found:
            terminalreporter.section("the session fails, whatever its tests did", red=True)
            for line in self.found:
                terminalreporter.write_line(line, red=True)

    def _enter(self, place: str) -> None:
        self._places.append((time.clock_gettime(time.CLOCK_BOOTTIME), place))

    def _look_for_processes(self) -> None:
        deadline = time.monotonic() + ENDING_SECONDS
        while (left := processes_of(os.getpid())) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in left:
            place = next(place for begun, place in reversed(self._places) if begun <= process.begun)
            self.add(f"a process was left running: {process.command[:200]!r}, started", place)


class _LogWatch(logging.Handler):
    """Looks into the log records of the stores."""

    def __init__(self, guards: SessionGuards) -> None:
        super().__init__(logging.DEBUG)
        self._guards = guards

    def emit(self, record: logging.LogRecord) -> None:
        if SECRET.search(f"{self.format(record)} {record.__dict__!r}"):
            self._guards.add(f"a secret was logged by {record.name} ({record.pathname}:{record.lineno})")


class _SpanWatch(SpanProcessor):
    """Looks into the spans of stores that export to the process's provider."""

    def __init__(self, guards: SessionGuards) -> None:
        self._guards = guards

    def on_end(self, span: ReadableSpan) -> None:
        if span.name.startswith("mongostore.") and SECRET.search(span.to_json()):
            self._guards.add(f"a secret was in the span {span.name}")


class Process:
    """A process that runs.

    Attributes:
        command: its command line.
        parent: the id of the process that it belongs to.
        begun: when it began, in seconds since the machine started.
    """

    def __init__(self, folder: Path) -> None:
        """Read it from its folder in /proc; OSError when it has ended."""
        self.id = int(folder.name)
        self.command = (folder / "cmdline").read_text(errors="replace").replace("\0", " ").strip()
        state, parent, *others = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        if state == "Z":
            raise ProcessLookupError  # It has ended, and nobody has asked how.
        self.parent = int(parent)
        # proc_pid_stat(5): number 22, of which the first three are read; cut to ticks.
        self.begun = (int(others[17]) + 1) / os.sysconf("SC_CLK_TCK")


def _all_processes() -> Iterator[Process]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield Process(folder)
        except OSError:
            continue  # It ended meanwhile.


def processes_of(owner: int) -> list[Process]:
    """What still runs of what a process started, and of the servers of its every EmbeddedMongo, also once it is gone."""
    everything = list(_all_processes())
    found = [each for each in everything if each.parent == owner or f"mongostore-{owner}-" in each.command]
    for parent in found:  # It grows meanwhile.
        found += (each for each in everything if each.parent == parent.id and each not in found)
    return found
