"""The README and docs/ are true: their code runs as printed, their commands work, and what they list is there."""

import asyncio
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import get_args

import httpx
import pytest
from pymongo import MongoClient

from mongostore import (
    ConfigurationError,
    HealthReport,
    KeyUnavailable,
    LocalMasterKey,
    MemoryStore,
    MongoStore,
    StorageUnavailable,
    StoreEvent,
    StoreOptions,
    errors,
    observer,
    telemetry,
)
from mongostore.environment import option_names
from mongostore.events import EventKind
from mongostore.health import _ORDER as CHECKS
from mongostore.health import HealthCheck
from mongostore.observer import _RULES as RULES
from mongostore.testing.embedded import find_mongod
from mongostore.testing.factories import a_client, an_authorization_code
from mongostore.testing.supervised_processes import SupervisedProcesses

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")]
}
TEXT = "\n".join(PAGES.values())
# Every block of Python says what it is: its first line is the name of its file.
NAMED_BLOCKS = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
BLOCKS = dict(NAMED_BLOCKS)
# Run by tests of their own.
MODULES = ("app.py", "create_users.py", "probes.py", "vault_master_key.py")
SCRIPTS = [name for name in BLOCKS if name not in MODULES and not name.startswith("test_")]
TESTS = [name for name in BLOCKS if name.startswith("test_")]
CONSOLE = "\n".join(re.findall(r"^```console\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE))
COMMANDS = sorted({command.strip() for command in re.findall(r"python -m mongostore ([^#\n)]+)", CONSOLE)})
LINKS = [(page, link) for page, text in PAGES.items() for link in re.findall(r"\]\(([^)]+)\)", text)]


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=dict(os.environ), capture_output=True, text=True, check=False
    )


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, mongo_uri: str, database_name: str, tmp_path: Path) -> Path:
    """The variables that the README tells to set, and a folder to work in; the schema is applied as it says."""
    monkeypatch.setenv("MONGOSTORE_URI", mongo_uri)
    monkeypatch.setenv("MONGOSTORE_DATABASE", database_name)
    monkeypatch.setenv("MONGOSTORE_MASTER_KEY", LocalMasterKey.generate().export())
    monkeypatch.setenv("NEW_MASTER_KEY", LocalMasterKey.generate().export())
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    applied = run("-m", "mongostore", "schema", "apply", cwd=tmp_path)
    assert applied.returncode == 0, applied.stderr
    return tmp_path


def written(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text(BLOCKS[name], encoding="utf-8")
    return path


def test_every_block_of_python_is_run_here() -> None:
    """No block is left out for want of a name in its first line, or because another one has its name."""
    assert len(BLOCKS) == len(NAMED_BLOCKS) == len(re.findall(r"^```py", TEXT, re.MULTILINE))
    assert set(re.findall(r"^```(.*)\n(?:.*\n)*?```$", TEXT, re.MULTILINE)) == {"python", "console"}
    assert set(MODULES) < BLOCKS.keys()
    assert SCRIPTS
    assert TESTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_as_printed(environment: Path, name: str) -> None:
    """Each script ends well and without a warning."""
    done = run("-W", "error", str(written(environment, name)), cwd=environment)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", TESTS)
def test_a_test_file_passes_as_printed(environment: Path, name: str) -> None:
    """Each file of tests passes with the one setting that the README names."""
    options = ["-p", "no:cacheprovider", "-q", "-o", "asyncio_mode=auto", "--rootdir", str(environment)]
    done = run("-m", "pytest", *options, str(written(environment, name)), cwd=environment)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^[1-9]\d+ passed", done.stdout, re.MULTILINE)


async def test_the_server_runs_as_printed(environment: Path) -> None:
    """It starts with its lifespan, gives a token for a code once, and revokes that token on a replay."""
    module = loaded(written(environment, "app.py"))
    app = module.app
    async with app.router.lifespan_context(app):
        store = app.state.store
        handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as browser:
            first = await browser.post("/token", data={"code": handle})
            assert first.status_code == 200
            token = first.json()["refresh_token"]
            assert (await store.refresh_tokens.get_refresh_token(token)).subject_id == "alice"
            for code in (handle, "unknown", ""):
                assert (await browser.post("/token", data={"code": code})).status_code == 400
            assert await store.refresh_tokens.get_refresh_token(token) is None


async def test_the_probes_work_as_printed(environment: Path) -> None:
    """Ready while the store can serve, and live without it; the report of the operators is all of it."""
    app = loaded(written(environment, "probes.py")).app
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as prober,
    ):
        ready = await prober.get("/ready")
        assert (ready.status_code, ready.json()["primary"]) == (200, "ok")
        assert [check["name"] for check in (await prober.get("/health")).json()["checks"]] == list(CHECKS)
        assert (await prober.get("/live")).status_code == 200
        await app.state.store.close()
        unready = await prober.get("/ready")
        assert (unready.status_code, unready.json()["status"], unready.json()["server"]) == (503, "down", "down")
        assert (await prober.get("/health")).json()["ready"] is False
        assert (await prober.get("/live")).json() == {"live": True}


async def test_the_master_key_of_one_s_own_works_as_printed(tmp_path: Path) -> None:
    """With a Vault that binds the context: it wraps and unwraps, and tells a moved key from a Vault that is away."""
    module = loaded(written(tmp_path, "vault_master_key.py"))
    is_away = False

    def vault(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if is_away:
            raise httpx.ConnectError("refused")
        assert request.url.path.startswith("/v1/transit/")
        if "/encrypt/" in request.url.path:
            sealed = json.dumps([body["plaintext"], body["associated_data"]]).encode()
            return httpx.Response(200, json={"data": {"ciphertext": "vault:v1:" + b64encode(sealed).decode()}})
        plaintext, bound_to = json.loads(b64decode(body["ciphertext"].removeprefix("vault:v1:")))
        if bound_to != body["associated_data"]:
            return httpx.Response(400)
        return httpx.Response(200, json={"data": {"plaintext": plaintext}})

    async with httpx.AsyncClient(transport=httpx.MockTransport(vault), base_url="http://vault") as client:
        key = module.VaultMasterKey(client, "mongostore")
        wrapped = await key.wrap(b"k" * 32, b"context")
        assert await key.unwrap(wrapped, b"context", key.id) == b"k" * 32
        for context, master_key_id in ((b"other", key.id), (b"context", "local:1")):
            with pytest.raises(KeyUnavailable):
                await key.unwrap(wrapped, context, master_key_id)
        is_away = True
        with pytest.raises(StorageUnavailable):
            await key.wrap(b"k" * 32, b"context")


@pytest.fixture
def guarded_uri(tmp_path: Path) -> Iterator[str]:
    """A replica set that demands a password, as its root."""
    try:
        mongod = str(find_mongod())
    except ConfigurationError as error:
        pytest.skip(str(error))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    member_key = tmp_path / "member_key"
    member_key.touch(mode=0o600)
    member_key.write_text("members " * 8)
    processes = SupervisedProcesses()
    try:
        command = [mongod, "--replSet", "rs0", "--auth", "--keyFile", str(member_key), "--nounixsocket"]
        command += ["--bind_ip", "127.0.0.1", "--port", address.partition(":")[2], "--wiredTigerCacheSizeGB", "0.25"]
        processes.start("guarded", [*command, "--dbpath", str(processes.folder)])
        with MongoClient(f"mongodb://{address}/?directConnection=true") as connection:
            members = [{"_id": 0, "host": address}]
            connection.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
            while not connection.admin.command("hello")["isWritablePrimary"]:
                time.sleep(0.05)
            connection.admin.command("createUser", "root", pwd="secret", roles=["root"])
        yield f"mongodb://root:secret@{address}/?replicaSet=rs0"
    finally:
        processes.close()


async def test_the_users_that_are_made_as_printed_can_do_their_work(
    guarded_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deployment applies the schema; the server, with no more than it needs, serves, and hears of changes."""
    for name, value in {"URI": guarded_uri, "DATABASE": "identity"}.items():
        monkeypatch.setenv(f"MONGOSTORE_{name}", value)
    monkeypatch.setenv("PASSWORD", "secret")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = run("-W", "error", str(written(tmp_path, "create_users.py")), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    monkeypatch.setenv("MONGOSTORE_URI", guarded_uri.replace("root", "identity-deployment"))
    applied = run("-m", "mongostore", "schema", "apply", cwd=tmp_path)
    assert applied.returncode == 0, applied.stderr
    uri = guarded_uri.replace("root", "identity-server")
    async with MongoStore(uri, database="identity", master_key=LocalMasterKey.generate()) as store:
        async with asyncio.timeout(60):
            while not store._feed.is_listening:
                await asyncio.sleep(0.01)
        await store.clients.save_client(a_client())
        handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
        assert (await store.authorization_codes.redeem_authorization_code(handle)).outcome == "redeemed"
        assert len((await store.signing.jwks())["keys"]) == 1
        await store.key_ring.rotate()
        assert (await store.key_ring.reencrypt()).total.reencrypted > 0
        await store.for_tenant("acme").authorization_codes.store_authorization_code(an_authorization_code())
        assert await store.tenants.delete("acme") > 0


def loaded(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"printed_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_line_works(environment: Path, database_name: str, command: str) -> None:
    """Every `python -m mongostore …` ends well on a database that is as the README made it."""
    # Databases that a command makes are named after the one of the test, and go with it.
    done = run("-m", "mongostore", *shlex.split(command.replace("identity_", f"{database_name}_")), cwd=environment)
    assert done.returncode == 0, done.stderr


def test_the_two_commands_and_the_deploy_step_are_named() -> None:
    """A newcomer finds scripts/demo, scripts/test and the schema command, and they are there."""
    for script in ("scripts/demo", "scripts/test", "scripts/setup_indexes.py"):
        assert script in README
        assert os.access(ROOT / script, os.X_OK)
    assert {"schema apply", "schema check", "keys generate-master"} <= set(COMMANDS)


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_link_leads_somewhere(page: Path, link: str) -> None:
    """Page and heading are there, for every link that stays in the project."""
    if link.startswith("https://"):
        return
    target, _, heading = link.partition("#")
    text = PAGES[(ROOT / page.parent / target).resolve().relative_to(ROOT) if target else page]
    headings = [
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^##+ (.*)$", text, re.MULTILINE)
    ]
    assert not heading or heading in headings


def test_every_page_can_be_reached() -> None:
    """The README links every page of docs/."""
    assert {str(page) for page in PAGES} - {"README.md"} <= {link.partition("#")[0] for _, link in LINKS}


def test_every_store_that_is_listed_is_there() -> None:
    """The table has the attributes of a store, all of them."""
    listed = {
        name
        for cell in re.findall(r"^\| (`.*?`) \|", section(README, "Which store is for what"), re.MULTILINE)
        for name in re.findall(r"\w+", cell)
    }
    store = MemoryStore()
    public = {name for name, value in vars(store).items() if not name.startswith("_") and is_ours(value)}
    assert listed == public - NOT_FOR_USERS


# What the library's own services work with.
NOT_FOR_USERS = {"clock", "job_leases", "cleanup_records"}


def is_ours(value: object) -> bool:
    return type(value).__module__.startswith("mongostore.")


def test_every_option_is_listed_with_its_default() -> None:
    """The table has what the environment can say, and the defaults in that form are the defaults."""
    rows = re.findall(r"^\| `([\w.]+)` \| (?:`(.*?)`)? ?\|", section(TEXT, "Options"), re.MULTILINE)
    defaults = {name.upper().replace(".", "_"): default for name, default in rows}
    assert defaults.keys() == set(option_names(StoreOptions))
    assert (
        StoreOptions.from_env(environ={f"MONGOSTORE_{name}": text for name, text in defaults.items()}) == StoreOptions()
    )
    unset = {name for name, text in defaults.items() if not text}
    assert unset == {
        "USER_DISPLAY_NAME_CLAIM_TYPE",
        "COLLECTION_PREFIX",
        "TENANCY_MAX_OPEN",
        "SIGNING_CERTIFICATE_ALGORITHMS",
    }


def test_every_health_check_is_listed() -> None:
    """The table has all checks in their order, and says which of them a store can't serve without."""
    rows = re.findall(r"^\| `(\w+)` \| (yes)? ?\|", section(TEXT, "Health"), re.MULTILINE)
    assert [name for name, _ in rows] == list(CHECKS)
    for name, _ in rows:
        down = HealthReport((HealthCheck(name, "down", "", timedelta(0)),))
        assert down.ready is (name not in {each for each, needed in rows if needed}), name


def test_every_event_is_listed() -> None:
    """The table has every kind, where it can happen, and only fields that there are."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w+\.\w+)` \|(.*?)\|", section(TEXT, "Events"), re.MULTILINE)
    assert {kind for kind, _, _ in rows} == set(get_args(EventKind))
    told = [(kind, operation) for kind, operation, _ in rows]
    assert told == list(dict.fromkeys(told))
    # These are told from within, wherever they are met.
    within = {"tampered", "invalid_configuration", "logout_undelivered"}
    assert {operation for kind, operation, _ in rows if kind not in within} == {
        f"{noun}.{name}" for noun, rules in RULES.items() for name in rules
    }
    always = set(re.findall(r"`(\w+)`", section(TEXT, "Events").partition("Every event has")[2].partition(";")[0]))
    known = {field for _, _, names in rows for field in re.findall(r"`(\w+)`", names)}
    assert always | known == {field.name for field in fields(StoreEvent)}


def test_every_name_of_telemetry_is_listed() -> None:
    """The tables have the attributes and metrics that the code emits, and no others."""
    listed = set(re.findall(r"`((?:mongostore|db|error)\.[a-z.]+)`", section(TEXT, "Telemetry")))
    code = "".join(Path(module.__file__).read_text(encoding="utf-8") for module in (telemetry, observer))
    assert listed == set(re.findall(r'"((?:mongostore|db|error)\.[a-z.]+)"', code))


def test_every_error_is_listed() -> None:
    """The table has all errors, and no other."""
    listed = re.findall(r"^\| `(\w+)` \|", section(README, "Errors"), re.MULTILINE)
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    assert set(listed) == {each.__name__ for each in kinds if issubclass(each, errors.MongostoreError)}
