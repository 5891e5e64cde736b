"""The guards of a whole run fail it for what it left behind, and no test, with pytest-xdist and without."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CONFTEST = """
from session_guards import SessionGuards

def pytest_configure(config):
    config.pluginmanager.register(SessionGuards())
"""
LEAKS = {
    "log": """
import logging

def test_leaks():
    logging.getLogger("mongostore.x").debug("redeemed %s", "0123456789ABCDEF" * 4 + "-1")
""",
    "span": """
from opentelemetry import trace

def test_leaks():
    with trace.get_tracer("x").start_as_current_span("mongostore.x", attributes={"code": "0123456789ABCDEF" * 4 + "-1"}):
        pass
""",
    # It ends with the process that started it. The system notes starts in hundredths of a second.
    "process": """
from subprocess import PIPE, Popen
from time import sleep

started = []

def test_leaks():
    started.append(Popen(["cat"], stdin=PIPE))
    sleep(0.05)
""",
}
TOLD = {
    "log": "a secret was logged by mongostore.x (",
    "span": "a secret was in the span mongostore.x in ",
    "process": "a process was left running: 'cat', started in ",
}
SERVER = """
from mongostore.testing import EmbeddedMongo

mongo = EmbeddedMongo()

def test_leaks():
    mongo.__enter__()
"""
INNOCENT = """
def test_innocent():
    pass
"""

workers = pytest.mark.parametrize("workers", [0, 2])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs some test files under the guards: each a test that passes."""
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}:{TESTS.parent}")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def ran(workers, conftest=CONFTEST, **files):
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        for name, text in {"conftest": conftest, **files}.items():
            (tmp_path / f"{name}.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-v", "-p", "xdist", "-p", "no:cacheprovider", "-n", str(workers)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    return ran


@workers
@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_fails_the_run_and_blames_no_test(run, leak, workers):
    """Every test passed; the run fails, and says what it found and where, without the secret."""
    done = run(workers, test_a=LEAKS[leak], test_b=INNOCENT)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "2 passed" in done.stdout
    assert "error" not in done.stdout
    (told,) = (line for line in done.stdout.splitlines() if TOLD[leak] in line)
    assert told.endswith("in test_a.py::test_leaks")
    assert "0123456789ABCDEF" not in done.stdout


@workers
def test_a_run_that_leaves_nothing_passes(run, workers):
    """What ends, and what is no secret, is nothing to the guards."""
    ended = LEAKS["process"].replace("started.append(Popen(", "Popen(").replace("stdin=PIPE))", "stdin=-3).wait()")
    done = run(workers, test_a=ended, test_b=LEAKS["log"].replace('+ "-1"', ""), test_c=INNOCENT)
    assert (done.returncode, "3 passed" in done.stdout) == (0, True), done.stdout


def test_a_server_that_is_left_fails_the_run(run, mongo_server):
    """The mongod of an EmbeddedMongo that was not stopped is found, and its supervisor."""
    if not mongo_server.ours:
        pytest.skip("there is no embedded MongoDB here, or it was not chosen")
    done = run(2, test_a=SERVER, test_b=INNOCENT)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "2 passed" in done.stdout
    left = [line for line in done.stdout.splitlines() if "a process was left running" in line]
    assert len(left) == 2
    assert any("mongod " in line for line in left)


def test_a_failure_stays_what_it_is(run):
    """The test that failed is told as always, and beside it what was found."""
    done = run(2, test_a=LEAKS["log"], test_b=INNOCENT.replace("pass", "assert False"))
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 1 passed" in done.stdout
    assert TOLD["log"] in done.stdout


def test_a_worker_that_ends_without_a_word_fails_the_run(run):
    """One that dies after its last test can't tell what it found, so nobody knows that there was nothing."""
    dying = "import os, pytest\n@pytest.hookimpl(trylast=True)\ndef pytest_sessionfinish(session):\n"
    dying += "    if hasattr(session.config, 'workerinput'):\n        os._exit(0)\n"
    done = run(1, conftest=CONFTEST + dying, test_a=INNOCENT)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "worker gw0 ended without a word of what it found" in done.stdout


def test_this_run_is_guarded(pytestconfig):
    """The guards that are shown here watch these tests."""
    assert pytestconfig.pluginmanager.hasplugin("session-guards")
