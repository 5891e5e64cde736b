"""What the database should look like: derived from the documents' own declarations, so nothing is said twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mongostore.mongo.documents import DOCUMENTS
from mongostore.mongo.documents.base import StoredFields
from mongostore.protection.envelope import ENVELOPE_VERSION, MIN_ENVELOPE_BYTES

_BITS_OF_A_BYTE = 8


@dataclass(frozen=True)
class DesiredCollection:
    """One collection.

    Attributes:
        name: with the prefix.
        validator: what MongoDB demands of every document that is written.
        indexes: their definitions by name, as the command createIndexes takes them; `_id_` is not among them.
    """

    name: str
    validator: Mapping[str, Any]
    indexes: Mapping[str, Mapping[str, Any]]


def desired_collections(
    prefix: str = "", nouns: Sequence[type[StoredFields]] = DOCUMENTS
) -> tuple[DesiredCollection, ...]:
    """The collections of these nouns, their names under the prefix, in the given order."""
    return tuple(
        DesiredCollection(
            name=prefix + fields.label,
            validator=validator_of(fields),
            indexes={index.document["name"]: index.document for index in fields.indexes},
        )
        for fields in nouns
    )


def validator_of(fields: type[StoredFields]) -> dict[str, Any]:
    """The database's own guard: whatever writes, a sealed field holds an envelope or is not there.

    It proves the form, not the encryption.
    """
    demands: list[dict[str, Any]] = [{"_id": {"$type": "string"}, "tenant": {"$type": "string"}}]
    for name in fields.sealed_fields:
        envelope = _is_envelope(name)
        optional = not fields.model_fields[name].is_required()
        demands.append({"$or": [_is_absent(name), envelope]} if optional else envelope)
    return {"$and": demands}


def _is_absent(name: str) -> dict[str, Any]:
    # {name: null} would let through an array with a null in it.
    return {"$expr": {"$in": [{"$type": f"${name}"}, ["missing", "null"]]}}


def _is_envelope(name: str) -> dict[str, Any]:
    bits = range(_BITS_OF_A_BYTE)
    # $jsonSchema knows neither bytes nor their number. The bit tests read the first byte (bit 0 is its lowest), but pass
    # numbers and arrays, too; the type test in $expr does not, and $binarySize fails on what is no binary.
    return {
        name: {
            "$bitsAllSet": [bit for bit in bits if ENVELOPE_VERSION >> bit & 1],
            "$bitsAllClear": [bit for bit in bits if not ENVELOPE_VERSION >> bit & 1],
        },
        "$expr": {
            "$cond": [
                {"$eq": [{"$type": f"${name}"}, "binData"]},
                {"$gte": [{"$binarySize": f"${name}"}, MIN_ENVELOPE_BYTES]},
                False,
            ]
        },
    }
