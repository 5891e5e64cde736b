"""Tests that need a quiet machine say why, run in a step of their own, and fail scripts/test as all others do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MARKED = """
import pytest

@pytest.mark.needs_quiet_machine(REASON)
def test_marked():
    pass

def test_other():
    pass
"""


@pytest.fixture
def collected(tmp_path, monkeypatch):
    """Collects two tests, one of them marked, as those of this repository are collected."""
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}:{TESTS.parent}")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    shutil.copy(TESTS / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = needs_quiet_machine\n")

    def run(*arguments, reason='"because"'):
        (tmp_path / "test_two.py").write_text(MARKED.replace("REASON", reason))
        command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--quiet-machine", "only"], {"test_marked"}),
        (["--quiet-machine", "without"], {"test_other"}),
        ([], {"test_marked", "test_other"}),
    ],
)
def test_each_step_has_its_own(collected, arguments, expected):
    """One step has the marked ones, the other step all others; pytest by itself has both."""
    told = collected(*arguments).stdout
    assert {line.rpartition("::")[2] for line in told.splitlines() if "::" in line} == expected


@pytest.mark.parametrize("reason", ["", "3"])
def test_the_reason_has_to_be_given(collected, reason):
    """Whoever finds the marker needs to know when it may go."""
    done = collected("--quiet-machine", "without", reason=reason)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_marked must say why" in done.stderr


@pytest.mark.parametrize(
    ("together", "alone", "expected"),
    [
        (0, 0, 0),
        (1, 0, 1),
        (0, 1, 1),
        (1, 1, 1),
        (1, 5, 1),
        (5, 1, 1),
        (0, 5, 0),
        (5, 0, 0),
        (5, 5, 5),
        (2, None, 2),
        (4, None, 4),
        (0, 3, 3),
    ],
)
def test_the_exit_code_is_that_of_either_step(tmp_path, together, alone, expected):
    """Failed (1), none chosen (5), or not brought to an end (2 to 4), after which nothing else is run."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    shutil.copy(TESTS.parent / "scripts" / "test", scripts)
    (scripts / "environment.sh").write_text(f"root={tmp_path}\npython={tmp_path}/python\nprepare() {{ :; }}\n")
    python = tmp_path / "python"
    answers = f"*without*) exit {together} ;; *only*) exit {'99' if alone is None else alone} ;;"
    python.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/called\ncase "$*" in {answers} esac\n')
    python.chmod(0o755)
    environment = {**os.environ, "MONGOSTORE_TEST_WORKERS": "2"}
    done = subprocess.run([scripts / "test", "tests/unit", "-k", "ring"], env=environment, check=False, timeout=60)
    assert done.returncode == expected
    called = ["-m pytest -n 2 --dist worksteal --quiet-machine without tests/unit -k ring"]
    called += ["-m pytest tests/unit -k ring -n 0 --quiet-machine only"] * (alone is not None)
    assert (tmp_path / "called").read_text().splitlines() == called
