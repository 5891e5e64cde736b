"""No test decides by the time that something takes: that says how busy the machine is.

What a thing costs is counted (commands, steps, documents); how fast it is is measured by scripts/benchmark.py; a guard
against a hang is generous. A test whose promise is a time is marked `needs_quiet_machine`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mongostore

TESTS = Path(__file__).parents[1]
CONTRACTS = Path(mongostore.__file__).parent / "testing" / "contracts"
STOPWATCHES = {"perf_counter", "process_time", "thread_time"}
WAITS = {"timeout", "wait_for", "wait", "run", "communicate"}
PATIENCE_SECONDS = 30


def named(node: ast.AST) -> str:
    """The last name of what is called or read: `perf_counter` of `time.perf_counter()`."""
    if isinstance(node, ast.Call):
        return named(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def stopwatches(tree: ast.AST) -> Iterator[str]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            if "needs_quiet_machine" in {named(each) for each in function.decorator_list}:
                continue
            used = STOPWATCHES & {named(each) for each in ast.walk(function) if isinstance(each, ast.Call)}
            if used:
                yield f"{function.lineno}: {function.name} measures with {min(used)}: count instead, or mark it"


def upper_limits(tree: ast.AST) -> Iterator[str]:
    for check in ast.walk(tree):
        if isinstance(check, ast.Assert):
            clocks = {named(each) for each in ast.walk(check) if isinstance(each, ast.Call)} & {"monotonic", "time"}
            compared = [each for each in ast.walk(check) if isinstance(each, ast.Compare)]
            if clocks and any(isinstance(op, ast.Lt | ast.LtE) for each in compared for op in each.ops):
                yield f"{check.lineno}: asserts how little time has passed"


def impatience(tree: ast.AST) -> Iterator[str]:
    # A time-out that is to come is no guard.
    expected = {
        inner
        for block in ast.walk(tree)
        if isinstance(block, ast.With | ast.AsyncWith)
        and any(named(item.context_expr) == "raises" for item in block.items)
        for inner in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in expected:
            continue
        seconds: list[ast.expr] = []
        if isinstance(node, ast.Call) and named(node) in WAITS:
            seconds = [each.value for each in node.keywords if each.arg == "timeout"]
            seconds += {"timeout": node.args[:1], "wait_for": node.args[1:2]}.get(named(node), [])
        elif isinstance(node, ast.Assign) and "PATIENCE" in named(node.targets[0]):
            seconds = [node.value]
        for each in seconds:
            if isinstance(each, ast.Constant) and isinstance(each.value, int | float) and each.value < PATIENCE_SECONDS:
                yield f"{node.lineno}: a busy machine may take longer than {each.value} s"


def files() -> Iterator[Path]:
    yield from sorted(TESTS.rglob("*.py"))
    yield from sorted(CONTRACTS.rglob("*.py"))


@pytest.mark.parametrize("rule", [stopwatches, upper_limits, impatience])
def test_no_test_depends_on_the_speed_of_the_machine(rule):
    """In all tests, and in the contract suites."""
    wrong = [f"{file}:{each}" for file in files() for each in rule(ast.parse(file.read_text(encoding="utf-8")))]
    assert wrong == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (stopwatches, "async def test_a():\n    begun = time.perf_counter()"),
        (upper_limits, "assert time.monotonic() - begun < 2"),
        (upper_limits, "assert loop.time() - begun <= 0.1"),
        (impatience, "async def a():\n    async with asyncio.timeout(5):\n        pass"),
        (impatience, "async def a():\n    await asyncio.wait_for(reached.wait(), 5)"),
        (impatience, "subprocess.run(command, timeout=10)"),
        (impatience, "PATIENCE_SECONDS = 10"),
    ],
)
def test_each_rule_finds_what_breaks_it(rule, text):
    """Each is tried on a few lines that it must not let through."""
    assert list(rule(ast.parse(text)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (stopwatches, "@pytest.mark.needs_quiet_machine('it says so')\ndef test_a():\n    time.perf_counter()"),
        (upper_limits, "assert loop.time() - begun >= 0.3"),
        (impatience, "subprocess.run(command, timeout=60)"),
        (impatience, "with pytest.raises(TimeoutError):\n    asyncio.wait([task], timeout=0.1)"),
    ],
)
def test_no_rule_finds_what_keeps_to_it(rule, text):
    """What no machine is too slow for."""
    assert list(rule(ast.parse(text))) == []
