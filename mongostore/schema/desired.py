"""What the database should look like: derived from the documents' own declarations, so nothing is said twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mongostore.mongo.documents import DOCUMENTS
from mongostore.mongo.documents.base import StoredFields
from mongostore.mongo.documents.device_codes import DeviceCodeFields
from mongostore.mongo.documents.grants import GrantFields
from mongostore.protection.envelope import ENVELOPE_VERSION, MIN_ENVELOPE_BYTES

_BITS_OF_A_BYTE = 8

# The TTL tells nobody, so whoever wants to know of these must come before it.
_TOLD_OF = frozenset({GrantFields, DeviceCodeFields})


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
    prefix: str = "", nouns: Sequence[type[StoredFields]] = DOCUMENTS, ttl_delay: timedelta = timedelta(0)
) -> tuple[DesiredCollection, ...]:
    """The collections of these nouns, their names under the prefix, in the given order.

    Args:
        prefix: put before the collections' names.
        nouns: their fields.
        ttl_delay: how long after their time MongoDB removes grants and device codes.
    """
    return tuple(
        DesiredCollection(
            name=prefix + fields.label,
            validator=validator_of(fields),
            indexes=_indexes_of(fields, ttl_delay if fields in _TOLD_OF else timedelta(0)),
        )
        for fields in nouns
    )


def _indexes_of(fields: type[StoredFields], ttl_delay: timedelta) -> dict[str, Mapping[str, Any]]:
    definitions = [dict(index.document) for index in fields.indexes]
    for definition in definitions:
        if "expireAfterSeconds" in definition:
            definition["expireAfterSeconds"] += int(ttl_delay.total_seconds())
    return {definition["name"]: definition for definition in definitions}


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
