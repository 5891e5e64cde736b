"""SECURITY.md says what attackers cannot do, and each of these sentences has a test that tries it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
CLAIMS = re.findall(r"^\| (?!cannot \|)(?!-)(.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


def test_the_page_has_claims() -> None:
    """Every attacker has a table."""
    assert len(CLAIMS) >= PAGE.count("| cannot | test |") >= 5


@pytest.mark.parametrize(("claim", "proof"), CLAIMS, ids=[claim for claim, _ in CLAIMS])
def test_a_claim_names_a_test_that_is_there(claim: str, proof: str) -> None:
    """The test is named by its file and its function."""
    named = re.findall(r"`([\w/.]+\.py)::(\w+)`", proof)
    assert named, f"no test is named for: {claim}"
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in functions
