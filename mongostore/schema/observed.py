"""What the database looks like."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mongostore.mongo.binding import Binding
from mongostore.schema.failures import schema_call


@dataclass(frozen=True)
class ObservedCollection:
    """One collection, or what else goes by the name.

    Attributes:
        kind: "collection", "view" or "timeseries".
        options: as listCollections gives them: validator, validationLevel, collation, capped…
        indexes: as listIndexes gives them, by name; `_id_` is not among them.
    """

    kind: str
    options: Mapping[str, Any]
    indexes: Mapping[str, Mapping[str, Any]]


async def observe(binding: Binding, names: Collection[str]) -> dict[str, ObservedCollection]:
    """Look at the named collections: one command, and one more for each that exists, at the same time.

    Raises:
        StorageUnavailable: MongoDB did not answer, or does not allow it.
    """
    with schema_call(binding, "read the schema") as own:
        found = await (
            await binding.database.list_collections(filter={"name": {"$in": list(names)}}, session=own)
        ).to_list()
    observed = await asyncio.gather(*(_observed(binding, each) for each in found))
    return {each["name"]: collection for each, collection in zip(found, observed, strict=True)}


async def _observed(binding: Binding, listed: Mapping[str, Any]) -> ObservedCollection:
    indexes: list[Mapping[str, Any]] = []
    if listed["type"] == "collection":
        with schema_call(binding, f"read the indexes of {listed['name']}") as own:
            indexes = list(await (await binding.database[listed["name"]].list_indexes(session=own)).to_list())
    return ObservedCollection(
        kind=listed["type"],
        options=listed.get("options", {}),
        indexes={each["name"]: each for each in indexes if each["name"] != "_id_"},
    )
