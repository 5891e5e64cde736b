"""A server in memory that works on one record after the other, and a driver whose every command suspends its caller.

It is what a MongoDB without transactions promises at least: each change of one record is atomic, a command over many is
not, nor are the parts of a bulk write. A pass over many records follows an order and never goes back, so that a record that
is added, or moved, behind it escapes. Nothing here decides when a step is taken: `interleavings` does.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pymongo import UpdateOne
from pymongo.errors import AutoReconnect, DuplicateKeyError, NetworkTimeout, PyMongoError
from stepped_queries import equalities, matches, updated

from mongostore.errors import StorageUnavailable

Order = Callable[["Row"], Any]
"""Where a record lies on the way of a pass."""


class Document(dict[str, Any]):
    """A stored document. Equal ones are one object, so that states are compared quickly. Nobody changes it."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other

    def __str__(self) -> str:
        return short(self["_id"])


class Row(NamedTuple):
    """A document, in which collection, and the how manyeth it is that was added."""

    collection: str
    number: int
    document: Document


Rows = tuple[Row, ...]

# One object each, so that equal answers are equal.
DUPLICATE = DuplicateKeyError("there is one already")
NO_ANSWER = NetworkTimeout("no answer in time")
CONNECTION_LOST = AutoReconnect("the primary was lost")

_documents: dict[object, Document] = {}


def stored(document: Mapping[str, Any]) -> Document:
    """The one object for a document that says this."""
    return _documents.setdefault(_frozen(document), Document(document))


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple(sorted((name, _frozen(each)) for name, each in value.items()))
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


@dataclass(eq=False)
class Command:
    """What a caller has sent. `start` is how far it is at first; `advance` takes one step of it."""

    name: str
    collection: str
    query: Mapping[str, Any]
    change: Any = None
    upsert: bool = False
    limit: int = 0
    parts: list["Command"] = field(default_factory=list)

    def __await__(self) -> Generator["Command", Any, Any]:
        answer = yield self
        if isinstance(answer, PyMongoError):
            raise type(answer)(str(answer))
        return answer

    def __str__(self) -> str:
        if self.parts:
            return f"{self.name}({', then '.join(map(str, self.parts))})"
        asked = {name: short(value) for name, value in self.query.items() if name not in ("tenant", "purge_at", "$nor")}
        change = self.change if isinstance(self.change, Mapping) else {}
        told = ", ".join(f"{name} {', '.join(fields)}" for name, fields in change.items() if name[0] == "$")
        return f"{self.name} {asked} {told}"

    @property
    def many(self) -> bool:
        """Whether it is one over many records, which the driver does not repeat by itself."""
        return self.name in ("update_many", "delete_many")


def short(value: Any) -> Any:
    """A value as it stands in a trace: of long names, the beginning."""
    if isinstance(value, str):
        return value.rpartition("|")[2][:8]
    if isinstance(value, Mapping):
        return {name: short(each) for name, each in value.items()}
    return [short(each) for each in value] if isinstance(value, list) else value


class Changed(NamedTuple):
    """What a write says that it did."""

    matched_count: int = 0
    modified_count: int = 0
    upserted_count: int = 0
    deleted_count: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name.partition('_')[0]} {n}" for name, n in self._asdict().items() if n) or "nothing"


class Running(NamedTuple):
    """A command that is not finished: how far it is."""

    rows: Rows
    place: object


class Finished(NamedTuple):
    """A command that is finished: its answer."""

    rows: Rows
    answer: Any


class Server:
    """What commands do to rows. `in_order` gives the place of a record on the way of a pass that has this query."""

    def __init__(self, in_order: Callable[[Mapping[str, Any]], Order]) -> None:
        self._in_order = in_order

    def advance(self, rows: Rows, command: Command, place: object) -> Running | Finished:
        """Take the next step of a command; `place` is None, or what the step before gave."""
        return getattr(self, f"_{command.name}")(rows, command, place)

    def _find(self, rows: Rows, command: Command, _: object) -> Finished:
        found = [row.document for row in self._matching(rows, command)]
        return Finished(rows, tuple(found[: command.limit or None]))

    def _find_one(self, rows: Rows, command: Command, _: object) -> Finished:
        return Finished(rows, next((row.document for row in self._matching(rows, command)), None))

    def _insert_one(self, rows: Rows, command: Command, _: object) -> Finished:
        return self._inserted(rows, command, command.change)

    def _replace_one(self, rows: Rows, command: Command, _: object) -> Finished:
        for row in self._matching(rows, command):
            return Finished(_replaced(rows, row, command.change), Changed(matched_count=1, modified_count=1))
        return self._inserted(rows, command, command.change) if command.upsert else Finished(rows, Changed())

    def _update_one(self, rows: Rows, command: Command, _: object) -> Finished:
        for row in self._matching(rows, command):
            after, modified = self._updated(rows, row, command)
            return Finished(after, Changed(matched_count=1, modified_count=modified))
        if command.upsert:
            return self._inserted(rows, command, updated(equalities(command.query), command.change, inserted=True))
        return Finished(rows, Changed())

    def _find_one_and_update(self, rows: Rows, command: Command, _: object) -> Finished:
        for row in self._matching(rows, command):
            after, _modified = self._updated(rows, row, command)
            return Finished(after, (row.document, next(r.document for r in after if r[:2] == row[:2])))
        return Finished(rows, (None, None))

    def _delete_one(self, rows: Rows, command: Command, _: object) -> Finished:
        for row in self._matching(rows, command):
            return Finished(_without(rows, row), Changed(deleted_count=1))
        return Finished(rows, Changed())

    def _update_many(self, rows: Rows, command: Command, place: Any) -> Running | Finished:
        passed, modified = place or ((), 0)
        if place is None and (first := self._next(rows, command, ())) is not None:
            # It has begun, and is at its first record: what is added before that one is behind it already.
            return Running(rows, ((_just_before(self._in_order(command.query)(first)),), 0))
        row = self._next(rows, command, passed)
        if row is not None:
            passed = (self._in_order(command.query)(row),)
            rows, more = self._updated(rows, row, command)
            modified += more
            if self._next(rows, command, passed) is not None:
                return Running(rows, (passed, modified))
        return Finished(rows, Changed(matched_count=modified, modified_count=modified))

    def _delete_many(self, rows: Rows, command: Command, place: Any) -> Running | Finished:
        passed, deleted = place or ((), 0)
        row = self._next(rows, command, passed)
        if row is not None:
            passed = (self._in_order(command.query)(row),)
            rows, deleted = _without(rows, row), deleted + 1
            if self._next(rows, command, passed) is not None:
                return Running(rows, (passed, deleted))
        return Finished(rows, Changed(deleted_count=deleted))

    def _bulk_write(self, rows: Rows, command: Command, place: Any) -> Running | Finished:
        done, before = place or (0, Changed())
        rows, answer = self.advance(rows, command.parts[done], None)
        if isinstance(answer, PyMongoError):
            return Finished(rows, answer)
        total = Changed(*(one + other for one, other in zip(before, answer, strict=True)))
        done += 1
        return Finished(rows, total) if done == len(command.parts) else Running(rows, (done, total))

    def _matching(self, rows: Rows, command: Command) -> list[Row]:
        found = [row for row in rows if row.collection == command.collection and matches(row.document, command.query)]
        return sorted(found, key=self._in_order(command.query))

    def _next(self, rows: Rows, command: Command, passed: tuple[Any, ...]) -> Row | None:
        order = self._in_order(command.query)
        return next((row for row in self._matching(rows, command) if not passed or order(row) > passed[0]), None)

    def _inserted(self, rows: Rows, command: Command, document: Mapping[str, Any]) -> Finished:
        same = [row for row in rows if row.collection == command.collection]
        if any(row.document["_id"] == document["_id"] for row in same):
            return Finished(rows, DUPLICATE)
        number = 1 + max((row.number for row in rows), default=0)
        added = Row(command.collection, number, stored(document))
        return Finished((*rows, added), Changed(upserted_count=1))

    def _updated(self, rows: Rows, row: Row, command: Command) -> tuple[Rows, int]:
        after = stored(updated(row.document, command.change))
        return _replaced(rows, row, after), int(after is not row.document)


def _replaced(rows: Rows, row: Row, document: Mapping[str, Any]) -> Rows:
    return tuple(row._replace(document=stored(document)) if each is row else each for each in rows)


def _just_before(place: Any) -> Any:
    return (*place[:-1], place[-1] - 0.5)


def _without(rows: Rows, row: Row) -> Rows:
    return tuple(each for each in rows if each is not row)


class SteppedCollection:
    """What `mongostore.mongo` needs of the driver's collection."""

    codec_options = None
    read_preference = None

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def database(self) -> "SteppedCollection":
        return self

    async def command(self, command, **_):
        found = await Command("find_one", self.name, command["filter"])
        return {"cursor": {"firstBatch": [dict(found)] if found is not None else []}}

    async def find_one(self, query, projection=None, **_):
        found = await Command("find_one", self.name, query)
        return None if found is None else _projected(found, projection)

    def find(self, query, projection=None, *, limit=0, **_):
        return _Cursor(Command("find", self.name, query, limit=limit), projection)

    async def insert_one(self, document, **_):
        return await Command("insert_one", self.name, {}, dict(document))

    async def replace_one(self, query, document, *, upsert=False, **_):
        return await Command("replace_one", self.name, query, dict(document), upsert)

    async def update_one(self, query, change, *, upsert=False, **_):
        return await Command("update_one", self.name, query, change, upsert)

    async def update_many(self, query, change, **_):
        return await Command("update_many", self.name, query, change)

    async def delete_one(self, query, **_):
        return await Command("delete_one", self.name, query)

    async def delete_many(self, query, **_):
        return await Command("delete_many", self.name, query)

    async def find_one_and_update(self, query, change, *, return_document=False, projection=None, **_):
        before, after = await Command("find_one_and_update", self.name, query, change)
        found = after if return_document else before
        return None if found is None else _projected(found, projection)

    async def bulk_write(self, writes, **_):
        parts = [self._part(write) for write in writes]
        return await Command("bulk_write", self.name, {}, parts=parts)

    def _part(self, write: UpdateOne) -> Command:
        return Command("update_one", self.name, write._filter, write._doc, bool(write._upsert))


class _Cursor:
    def __init__(self, command: Command, projection: Any) -> None:
        self._command = command
        self._projection = projection

    async def to_list(self, _length=None):
        return [_projected(each, self._projection) for each in await self._command]


def _projected(document: Document, projection: Any) -> dict[str, Any]:
    return {
        name: value for name, value in document.items() if projection is None or name in projection or name == "_id"
    }


class SteppedBinding:
    """What `mongostore.mongo` needs of a `Binding`."""

    def __init__(self) -> None:
        self._collections: dict[str, SteppedCollection] = {}

    def collection(self, fields):
        return self._collections.setdefault(fields.label, SteppedCollection(fields.label))

    def call(self, action):
        return _Call(action)


class _Call:
    def __init__(self, action: str) -> None:
        self._action = action

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, PyMongoError) and not isinstance(error, DuplicateKeyError):
            raise StorageUnavailable(f"could not {self._action}") from error
