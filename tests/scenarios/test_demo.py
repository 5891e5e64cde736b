"""The guided tour of scripts/demo: it keeps its promises, shows no secret, and leaves nothing behind."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pymongo import MongoClient

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run_demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPTS / "demo.py", *arguments],
        env={**os.environ, "PYTHONUTF8": "1", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def demo_databases(connection: MongoClient) -> list[str]:
    return [name for name in connection.list_database_names() if name.startswith("mongostore_demo_")]


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(SCRIPTS)
    yield import_module("demo")
    for name in [each for each in sys.modules if each.partition(".")[0] in ("demo", "demo_chapters")]:
        del sys.modules[name]


def test_the_tour_keeps_its_promises(mongo_uri: str, mongo_connection: MongoClient) -> None:
    """It shows the single winner, no secret and no colour, and drops its database."""
    before = demo_databases(mongo_connection)
    done = run_demo("--uri", mongo_uri)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"50 tasks redeem one code at once: a single winner\s+redeemed: 1,", done.stdout)
    assert re.search(r"replayed: 49,", done.stdout)
    for evidence in (
        r"with another master key, a store does not open\s+KeyUnavailable",
        r"20 tasks consume it at once: a single winner\s+1 of 20",
        r"two nodes fetch the answer at once: a single winner\s+1 of 2, for alice",
        r"60 users are signed in, and listed by name\s+3 pages",
        r"at most 2 keys in the JWK Set",
        r"Shop of Acme \| Shop of Globex",
        r"each seen by the other\s+after \d+ ms",
        r"send nothing to MongoDB\s+0 commands",
        r"all is sealed anew, 25 records at a time\s+(\d+ … )+60",
        r"the new master key alone opens everything\s+the same token",
        r"a reader gets an error\s+KeyUnavailable: the keys of tenant has-left were destroyed",
    ):
        assert re.search(evidence, done.stdout), evidence
    assert "\033" not in done.stdout
    # A whole handle, a whole hash, a master key's text form, the secret in the imported file.
    assert not re.search(r"[0-9A-F]{64}|mongostore-master-1:|upstream-secret", done.stdout)
    (name,) = set(re.findall(r"mongostore_demo_\w+", done.stdout))
    assert f"The database {name} is dropped." in done.stdout
    assert demo_databases(mongo_connection) == before


@pytest.mark.slow
def test_a_database_that_is_kept_is_named(mongo_uri: str, mongo_connection: MongoClient) -> None:
    """With --keep the database stays, under the name that is told, and a further run does not mind."""
    done = run_demo("--uri", mongo_uri, "--keep")
    name = re.findall(r"The database (mongostore_demo_\w+) stays", done.stdout)[0]
    try:
        assert done.returncode == 0
        assert mongo_connection[name]["clients"].count_documents({"tenant": "default"}) == 5
        assert run_demo("--uri", mongo_uri).returncode == 0
    finally:
        mongo_connection.drop_database(name)


def test_a_server_that_does_not_answer_is_told_in_one_line() -> None:
    """The exit code is 1, and there is no traceback."""
    done = run_demo("--uri", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "The demo stopped: The MongoDB of the given URI does not answer: start it, or correct the URI."
    ]


def test_a_broken_promise_ends_the_tour(
    demo: ModuleType,
    mongo_uri: str,
    mongo_connection: MongoClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A claim that does not hold gives exit code 1 and one line that says which, and the database is dropped."""

    async def show(stage: Any) -> None:
        await stage.raw["x"].insert_one({})
        stage.teller.claim("water flows uphill", False, "downhill")

    monkeypatch.setattr(demo, "CHAPTERS", (replace(demo.CHAPTERS[0], show=show),))
    monkeypatch.setattr(sys, "argv", ["demo", "--uri", mongo_uri])
    before = demo_databases(mongo_connection)
    assert demo.main() == 1
    line = "The demo stopped: this should hold and does not: water flows uphill (found: downhill)"
    assert capsys.readouterr().err.strip() == line
    assert demo_databases(mongo_connection) == before


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_are_for_terminals(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool
) -> None:
    """A terminal gets colours unless NO_COLOR is set."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("NO_COLOR", no_color)
    stream = Terminal()
    demo.Teller(stream).claim("it holds", True, "see")
    assert ("\033[32m" in stream.getvalue()) is coloured
