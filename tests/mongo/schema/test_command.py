"""The command line against a real server: both programs, exit codes, and two deployments at once."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import warnings
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

import mongostore
from mongostore.cli import main
from mongostore.options import StoreOptions

SCRIPT = Path(mongostore.__file__).parent.parent / "scripts" / "setup_indexes.py"
PROGRAMS = {"module": ["-m", "mongostore", "schema"], "script": [str(SCRIPT)]}


@pytest.fixture
def run(mongo_uri, database_name, monkeypatch):
    """Runs `mongostore schema …` to its exit code; in a thread, as it has an event loop of its own."""
    monkeypatch.setenv("MONGOSTORE_URI", mongo_uri)
    monkeypatch.setenv("MONGOSTORE_DATABASE", database_name)
    yield lambda *words: asyncio.to_thread(main, ["schema", *words])
    # A monitor of the driver's that is cancelled while it connects leaves its socket to the garbage collector.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(params=PROGRAMS)
def process(request, mongo_uri, database_name):
    """Starts a program; to be waited for with `communicate`."""
    if request.param == "script" and not SCRIPT.exists():
        pytest.skip("scripts/ is not part of an installed package")

    def start(*words):
        return subprocess.Popen(
            [sys.executable, *PROGRAMS[request.param], *words],
            env=os.environ | {"MONGOSTORE_URI": mongo_uri, "MONGOSTORE_DATABASE": database_name},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


async def test_plan_apply_check(run, database, capsys):
    """plan: 0, and nothing written; check: 1; apply: 0; check: 0; after a drift, check: 1 again."""
    assert await run("plan") == 0
    assert database.list_collection_names() == []
    planned = capsys.readouterr()
    assert "+ grants.by_subject: index missing: (tenant, subject_id, client_id, type, session_id)" in planned.out
    assert await run("check") == 1
    capsys.readouterr()
    assert await run("apply") == 0
    applied = capsys.readouterr()
    assert "+ grants: created" in applied.out
    assert "create by_subject, by_session" in applied.err
    assert "\033" not in applied.out + applied.err, "no colours where there is no terminal"
    assert await run("check") == 0
    checked = capsys.readouterr()
    assert (checked.out, checked.err) == (f"The schema of the database {database.name} is in order.\n", "")
    database.grants.drop_index("by_client")
    assert await run("check") == 1


async def test_foreign_indexes_decide_by_options(run, database):
    """A foreign index fails check unless allowed, and stays unless apply is told to drop it."""
    await run("apply")
    database.grants.create_index("description", name="of the operator")
    assert await run("check") == 1
    assert await run("check", "--allow-foreign") == 0
    assert await run("apply") == 0
    assert "of the operator" in database.grants.index_information()
    assert await run("apply", "--drop-foreign") == 0
    assert await run("check") == 0


async def test_apply_fails_when_something_is_left(run, database, capsys):
    """What apply can't do makes it exit with 1, and the rest is done."""
    database.create_collection("scopes", viewOn="grants")
    assert await run("apply") == 1
    told = capsys.readouterr().out
    assert "! scopes: unusable" in told
    assert "1 difference in the database" in told


async def test_a_prefix(run, database):
    """--collection-prefix is the store's own."""
    assert await run("apply", "--collection-prefix", "idp_") == 0
    assert "idp_grants" in database.list_collection_names()
    assert await run("check") == 1


async def test_databases_apart_and_of_every_tenant(run, database, mongo_connection):
    """Each database gets what lies in it, the default tenant's and, when asked for, every registered tenant's too."""
    apart = ["--configuration-database", f"{database.name}_c", "--key-ring-database", f"{database.name}_k"]
    assert await run("apply", *apart) == 0
    assert mongo_connection[f"{database.name}_k"].list_collection_names() == ["data_keys"]
    assert "clients" in mongo_connection[f"{database.name}_c"].list_collection_names()
    assert "clients" not in database.list_collection_names()
    assert await run("check", *apart) == 0

    database.tenants.insert_one({"_id": "acme", "tenant": "acme"})
    pattern = ["--tenant-pattern", f"{database.name}_{{tenant}}"]
    assert await run("apply", *pattern) == 0
    assert await run("check", *pattern) == 0
    assert "grants" in mongo_connection[f"{database.name}_default"].list_collection_names()
    assert await run("check", *pattern, "--all-tenants") == 1
    assert await run("apply", *pattern, "--all-tenants") == 0
    assert "by_subject" in mongo_connection[f"{database.name}_acme"]["grants"].index_information()
    assert await run("check", *pattern, "--all-tenants") == 0
    assert await run("check", "--all-tenants") == 2


async def test_json_of_a_drift(run, database, capsys):
    """The machine's form tells each drift by kind, collection and index."""
    await run("apply")
    database.grants.drop_index("by_family")
    capsys.readouterr()
    assert await run("check", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {
        "action": "check",
        "in_order": False,
        "databases": [
            {
                "database": database.name,
                "collection_prefix": "",
                "in_order": False,
                "done": [],
                "left": [
                    {
                        "kind": "missing_index",
                        "collection": "grants",
                        "index": "by_family",
                        "detail": "(tenant, family, anchor), partialFilterExpression={'family': {'$exists': True}}",
                    }
                ],
            }
        ],
    }


async def test_no_server(run, capsys, monkeypatch):
    """A server that is not there is one line on stderr, without the password, and exit code 2."""
    impatient = partial(StoreOptions, server_selection_timeout=timedelta(milliseconds=100))
    monkeypatch.setattr("mongostore.cli.schema.StoreOptions", impatient)
    assert await run("check", "--uri", "mongodb://user:hunter2@127.0.0.1:1/") == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("mongostore: could not open the store: MongoDB at 127.0.0.1:1 ")
    assert told.err.count("\n") == 1
    assert "hunter2" not in told.err


def test_two_deployments_at_once(process, database):
    """Of two processes, one makes everything, the other waits and finds nothing left; both succeed."""
    deployments = [process("apply", "--json") for _ in range(2)]
    results = [json.loads(each.communicate()[0])["databases"][0] for each in deployments]
    assert [each.returncode for each in deployments] == [0, 0]
    assert sorted(bool(each["done"]) for each in results) == [False, True]
    assert [each["left"] for each in results] == [[], []]


@pytest.mark.parametrize("process", ["module"], indirect=True)
def test_exit_codes_reach_the_shell(process):
    """A drift ends the process with 1."""
    check = process("check")
    check.communicate()
    assert check.returncode == 1
