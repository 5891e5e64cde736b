"""The README is true: its code runs as printed, its commands work, and what it lists is there."""

import os
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from mongostore import LocalMasterKey, MemoryStore, errors
from mongostore.testing.factories import an_authorization_code

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
# Every block of Python says what it is: its first line is the name of its file.
BLOCKS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE))
SCRIPTS = [name for name in BLOCKS if name != "app.py" and not name.startswith("test_")]
TESTS = [name for name in BLOCKS if name.startswith("test_")]
CONSOLE = "\n".join(re.findall(r"^```console\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE))
COMMANDS = re.findall(r"python -m mongostore ([^#\n)]+)", CONSOLE)


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


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
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    applied = run("-m", "mongostore", "schema", "apply", cwd=tmp_path)
    assert applied.returncode == 0, applied.stderr
    return tmp_path


def written(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text(BLOCKS[name], encoding="utf-8")
    return path


def test_every_block_of_python_is_run_here() -> None:
    """No block is left out for want of a name in its first line."""
    assert len(BLOCKS) == len(re.findall(r"^```py", TEXT, re.MULTILINE))
    assert "app.py" in BLOCKS
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


def loaded(path: Path) -> ModuleType:
    spec = spec_from_file_location("readme_app", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_line_works(environment: Path, command: str) -> None:
    """Every `python -m mongostore …` of the README ends well on a database that is as the README made it."""
    done = run("-m", "mongostore", *command.split(), cwd=environment)
    assert done.returncode == 0, done.stderr


def test_the_two_commands_and_the_deploy_step_are_named() -> None:
    """A newcomer finds scripts/demo, scripts/test and the schema command, and they are there."""
    for script in ("scripts/demo", "scripts/test", "scripts/setup_indexes.py"):
        assert script in TEXT
        assert os.access(ROOT / script, os.X_OK)
    assert {"schema apply", "schema check", "keys generate-master"} <= {command.strip() for command in COMMANDS}


def test_every_store_that_is_listed_is_there() -> None:
    """The attributes of the table are those of a store."""
    listed = re.findall(r"^\| `(\w+)` \|", section("Which store is for what"), re.MULTILINE)
    assert len(listed) > 5
    store = MemoryStore()
    assert [name for name in listed if not hasattr(store, name)] == []


def test_every_error_is_listed() -> None:
    """The table has all errors, and no other."""
    listed = re.findall(r"^\| `(\w+)` \|", section("Errors"), re.MULTILINE)
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    assert set(listed) == {each.__name__ for each in kinds if issubclass(each, errors.MongostoreError)}
