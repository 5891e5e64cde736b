"""The shape of the package: who may import whom, which libraries stay in which rooms, and a few rules of the house.

Each rule is a function from one file to what is wrong with it, and is itself tried on a file that breaks it.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import mongostore

PACKAGE = Path(mongostore.__file__).parent

# From top to bottom: a layer imports itself and what is below it. The two halves of one layer never import each other.
LAYERS: tuple[tuple[frozenset[str], ...], ...] = (
    (frozenset({"__init__", "__main__", "cli", "integrations", "testing"}),),
    (
        frozenset(
            {
                "assembly",
                "options",
                "health",
                "maintenance",
                "configuration_import",
                "observer",
                "events",
                "environment",
            }
        ),
    ),
    (frozenset({"schema"}),),
    (frozenset({"grants", "sessions", "signing"}), frozenset({"mongo", "memory", "caching"})),
    (frozenset({"protection"}),),
    (frozenset({"stores"}),),
    (frozenset({"models", "errors", "clock", "telemetry", "tenancy", "cancellation"}),),
)
PLACES = {
    name: (level, half) for level, layer in enumerate(LAYERS) for half, names in enumerate(layer) for name in names
}

ROOMS_OF_LIBRARIES = {
    **dict.fromkeys(("beanie", "bson", "gridfs", "motor", "pymongo"), ("mongo/", "schema/", "testing/embedded")),
    "cryptography": ("protection/", "grants/handles.py", "signing/key_material.py"),
}

NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}

CLOCK_CALLS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"}
CLOCK_EXCEPTIONS = {
    "clock.py": "the one place that asks for the time",
    "models/messages.py": "a message is made by the server, and its default creation time is the real now",
    "testing/": "fake clocks and factories begin at the real now",
}

MOST_LINES = 400


@dataclass(frozen=True)
class File:
    """A file of the package, by its path from there."""

    path: str
    source: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def part(self) -> str:
        """What it belongs to: the folder, or the module that stands alone."""
        return self.path.partition("/")[0].removesuffix(".py")

    def imports(self) -> Iterator[str]:
        """Every module that is imported anywhere in it, by its full name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                yield from (f"{module}.{alias.name}" for alias in node.names)


def upward_imports(file: File) -> list[str]:
    """Imports that point up, or across the two halves of a layer."""
    problems = []
    if file.part not in PLACES:
        return [f"{file.part} has no place in LAYERS: give it one"]
    level, half = PLACES[file.part]
    for name in file.imports():
        root, _, rest = name.partition(".")
        if name.startswith("."):
            problems.append(f"imports {name}: imports are absolute")
        if root != "mongostore":
            continue
        target = rest.partition(".")[0]
        # A name of the front door is the front door's import.
        other_level, other_half = PLACES.get(target, PLACES["__init__"])
        if other_level < level or (other_level == level and other_half != half):
            problems.append(f"imports {name}, which is not below {file.part}")
    return problems


def misplaced_libraries(file: File) -> list[str]:
    """Imports of a library outside its rooms."""
    problems = []
    for name in file.imports():
        library = name.partition(".")[0]
        rooms = ROOMS_OF_LIBRARIES.get(library)
        if rooms is not None and not file.path.startswith(rooms):
            problems.append(f"imports {name}: {library} belongs to {', '.join(rooms)}")
    return problems


def names_that_say_nothing(file: File) -> list[str]:
    """Modules and folders that are called after nothing."""
    parts = file.path.removesuffix(".py").split("/")
    return [f"{part} says nothing" for part in parts if NAMES_THAT_SAY_NOTHING & set(part.split("_"))]


def calls_for_the_time(file: File) -> list[str]:
    """Calls that ask the system for the time."""
    if file.path.startswith(tuple(CLOCK_EXCEPTIONS)):
        return []
    return [
        f"line {node.lineno} calls {ast.unparse(node)}: take a Clock"
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Attribute | ast.Name)
        and any(f".{ast.unparse(node)}".endswith(f".{call}") for call in CLOCK_CALLS)
    ] + [f"imports {name}: take a Clock" for name in file.imports() if name in ("time.time", "time.time_ns")]


def too_long(file: File) -> list[str]:
    """More lines than a file that does one job has."""
    lines = len(file.source.splitlines())
    return [f"has {lines} lines: look for the second noun inside"] if lines > MOST_LINES else []


def swallowed_errors(file: File) -> list[str]:
    """Handlers that catch everything unnamed, or catch everything and do nothing."""
    problems = []
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                problems.append(f"line {node.lineno} is a bare except")
            elif _is_everything(node.type) and all(_does_nothing(statement) for statement in node.body):
                problems.append(f"line {node.lineno} swallows every error")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress") and _catches_all(node):
            problems.append(f"line {node.lineno} suppresses every error")
    return problems


def _catches_all(suppress: ast.Call) -> bool:
    return any(_is_everything(argument) for argument in suppress.args)


def _is_everything(expression: ast.expr) -> bool:
    caught = expression.elts if isinstance(expression, ast.Tuple) else [expression]
    return any(ast.unparse(each) in ("Exception", "BaseException") for each in caught)


def _does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass | ast.Continue | ast.Break) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


Rule = Callable[[File], list[str]]

RULES: tuple[Rule, ...] = (
    upward_imports,
    misplaced_libraries,
    names_that_say_nothing,
    calls_for_the_time,
    too_long,
    swallowed_errors,
)

VIOLATIONS: tuple[tuple[Rule, File], ...] = (
    (upward_imports, File("models/clients.py", "from mongostore.stores.clients import ClientStore")),
    (upward_imports, File("stores/clients.py", "import mongostore.mongo.clients")),
    (upward_imports, File("protection/protector.py", "def f():\n    from mongostore.grants import handles")),
    (upward_imports, File("grants/handles.py", "from mongostore.memory.grant_table import GrantTable")),
    (upward_imports, File("caching/clients.py", "from mongostore.sessions import service")),
    (upward_imports, File("mongo/clients.py", "from mongostore.schema import apply_schema")),
    (upward_imports, File("schema/apply.py", "from mongostore.options import StoreOptions")),
    (upward_imports, File("health.py", "from mongostore.testing import FakeClock")),
    (upward_imports, File("mongo/clients.py", "from mongostore import MongoStore")),
    (upward_imports, File("mongo/clients.py", "import mongostore")),
    (upward_imports, File("grants/handles.py", "from . import outcomes")),
    (upward_imports, File("novelties/things.py", "")),
    (misplaced_libraries, File("memory/clients.py", "from bson import ObjectId")),
    (misplaced_libraries, File("models/clients.py", "import pymongo.errors")),
    (misplaced_libraries, File("assembly.py", "if TYPE_CHECKING:\n    import motor.motor_asyncio")),
    (misplaced_libraries, File("cli/schema.py", "from beanie import Document")),
    (misplaced_libraries, File("testing/servers.py", "from pymongo import MongoClient")),
    (misplaced_libraries, File("signing/manager.py", "from cryptography.hazmat.primitives import hashes")),
    (names_that_say_nothing, File("mongo/utils.py", "")),
    (names_that_say_nothing, File("grants/_utils.py", "")),
    (names_that_say_nothing, File("base_utils.py", "")),
    (names_that_say_nothing, File("common/base.py", "")),
    (names_that_say_nothing, File("test_helpers.py", "")),
    (calls_for_the_time, File("grants/handles.py", "now = datetime.now(UTC)")),
    (calls_for_the_time, File("mongo/clients.py", "import datetime\nnow = datetime.datetime.now()")),
    (calls_for_the_time, File("stores/clients.py", "Field(default_factory=datetime.utcnow)")),
    (calls_for_the_time, File("mongo/leases.py", "import time\nnow = time.time()")),
    (calls_for_the_time, File("mongo/leases.py", "from time import time")),
    (too_long, File("models/clients.py", "x = 1\n" * (MOST_LINES + 1))),
    (swallowed_errors, File("mongo/clients.py", "try:\n    f()\nexcept:\n    raise")),
    (swallowed_errors, File("mongo/clients.py", "try:\n    f()\nexcept Exception:\n    pass")),
    (
        swallowed_errors,
        File("mongo/clients.py", "while x:\n  try:\n    f()\n  except (OSError, BaseException):\n    continue"),
    ),
    (swallowed_errors, File("mongo/clients.py", "with contextlib.suppress(Exception):\n    f()")),
)

PERMITTED: tuple[File, ...] = (
    File("mongo/clients.py", "from pymongo import ReadPreference\nfrom mongostore.protection.envelope import Sealed"),
    File(
        "grants/handles.py", "from cryptography.hazmat.primitives import hashes\nfrom mongostore.models import Client"
    ),
    File("sessions/tickets.py", "from mongostore.grants.service import GrantService"),
    File("clock.py", "now = datetime.now(UTC)"),
    File("testing/embedded.py", "from pymongo import MongoClient\nimport mongostore"),
    File("mongo/leases.py", "try:\n    f()\nexcept Exception as error:\n    raise ValueError from error"),
    File("mongo/leases.py", "now = self._clock.now()\nspan = timedelta(0)"),
    File("models/clients.py", "x = 1\n" * MOST_LINES),
)


def package_files() -> list[File]:
    return [
        File(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    """No file of the package breaks it."""
    files = package_files()
    assert len(files) > 50, "the package was not found"
    assert [f"{file.path}: {problem}" for file in files for problem in rule(file)] == []


@pytest.mark.parametrize(("rule", "file"), VIOLATIONS, ids=lambda value: getattr(value, "__name__", None))
def test_a_rule_sees_what_breaks_it(rule: Rule, file: File) -> None:
    """A rule that finds nothing in a file made to break it would prove nothing."""
    assert len(rule(file)) == 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_is_tried(rule: Rule) -> None:
    """There is a violation for each rule, and what is permitted passes all of them."""
    assert any(tried is rule for tried, _ in VIOLATIONS)
    assert [problem for file in PERMITTED for problem in rule(file)] == []
