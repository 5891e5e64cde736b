"""The deploy step: indexes and validators."""

from collections import Counter
from datetime import timedelta

from pymongo.errors import WriteError

from demo_chapters.stage import Chapter, Stage
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import Drift, apply_schema

_LIMIT = timedelta(seconds=10)
_DOCUMENT_FAILED_VALIDATION = 121


async def show(stage: Stage) -> None:
    """Apply it twice, then try to get an unsealed payload past it."""
    connection = Connection(stage.uri, operation_timeout=_LIMIT, server_selection_timeout=_LIMIT)
    await connection.open()
    try:
        binding = Binding(connection, stage.name)
        applied = await apply_schema(binding)
        again = await apply_schema(binding)
    finally:
        await connection.close()
    made = Counter(change.kind for change in applied.done)
    stage.teller.claim(
        "an empty database gets collections, validators and indexes",
        not applied.left,
        f"{made[Drift.MISSING_COLLECTION]} collections, {made[Drift.MISSING_INDEX]} indexes",
    )
    stage.teller.claim("applying it again changes nothing", not again.done, f"{len(again.done)} changes")
    stage.teller.claim(
        "MongoDB itself refuses a payload that is not sealed",
        await _refused_with(stage) == _DOCUMENT_FAILED_VALIDATION,
        f"error {_DOCUMENT_FAILED_VALIDATION}, failed validation",
    )


async def _refused_with(stage: Stage) -> int | None:
    try:
        await stage.raw["grants"].insert_one({"_id": "default|x", "tenant": "default", "payload": b"in clear"})
    except WriteError as error:
        return error.code
    return None


SCHEMA = Chapter(
    "The schema",
    "One command at every deployment (python -m mongostore schema apply) brings a database to the declared indexes and "
    "validators. A server that starts never changes them.",
    show,
)
