"""Set properties take any collection, for type checkers too, and are frozensets."""

import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TYPED_USE = Path(__file__).with_name("set_properties.py")


def test_typed_code_may_give_any_collection(tmp_path: Path) -> None:
    """Under `mypy --strict`, without a plugin: sets, lists and tuples go in, a frozenset comes out, a text is refused."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        "pyproject.toml",
        "--cache-dir",
        str(tmp_path),
    ]
    checked = subprocess.run([*command, str(TYPED_USE)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_typed_code_reads_is_a_frozenset() -> None:
    """What type checkers are told is so, whatever was given."""
    typed = runpy.run_path(str(TYPED_USE))
    sets = [*typed["texts"], *typed["secrets"], typed["claims"]]
    assert {type(each) for each in sets} == {frozenset}
    assert typed["client"].allowed_scopes == {"openid", "profile"}
    assert typed["missing"] == {"orders"}
