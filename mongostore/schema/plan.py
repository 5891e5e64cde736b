"""What has to be done to make the database as it should be: a pure function of desired and observed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mongostore.schema.desired import DesiredCollection
from mongostore.schema.observed import ObservedCollection

VALIDATION: Mapping[str, Any] = {"validationLevel": "strict", "validationAction": "error"}

_COLLATION_DEFAULTS = {
    "caseLevel": False,
    "caseFirst": "off",
    "strength": 3,
    "numericOrdering": False,
    "alternate": "non-ignorable",
    "maxVariable": "punct",
    "normalization": False,
    "backwards": False,
}
# Of two indexes that are alike in these, MongoDB makes only one.
_IDENTITY = ("key", "collation", "partialFilterExpression", "sparse", "unique")
# Set by the server, or without effect on what the index is.
_INSIGNIFICANT = frozenset({"v", "ns", "name", "background"})


class Drift(StrEnum):
    """How desired and observed can differ. The names are frozen: scripts read them."""

    MISSING_COLLECTION = "missing_collection"
    UNUSABLE_COLLECTION = "unusable_collection"
    MISSING_VALIDATOR = "missing_validator"
    CHANGED_VALIDATOR = "changed_validator"
    MISSING_INDEX = "missing_index"
    CHANGED_INDEX = "changed_index"
    CHANGED_TTL = "changed_ttl"
    CONFLICTING_INDEX = "conflicting_index"
    FOREIGN_INDEX = "foreign_index"


# What somebody else made: only dropped when told to.
FOREIGN = frozenset({Drift.FOREIGN_INDEX, Drift.CONFLICTING_INDEX})


@dataclass(frozen=True)
class Change:
    """One difference, and what `apply` does about it.

    Attributes:
        collection: its name, with the prefix.
        index: its name; None when the difference is not about an index.
        detail: a sentence for people.
    """

    kind: Drift
    collection: str
    index: str | None
    detail: str


@dataclass(frozen=True)
class Plan:
    """Every difference, collection by collection.

    Attributes:
        changes: in the order in which they are applied.
    """

    changes: tuple[Change, ...]

    def applicable(self, *, drop_foreign: bool = False) -> tuple[Change, ...]:
        """What `apply` does; the rest is for the operator."""
        return tuple(
            each
            for each in self.changes
            if each.kind is not Drift.UNUSABLE_COLLECTION and (drop_foreign or each.kind not in FOREIGN)
        )


def make_plan(desired: Iterable[DesiredCollection], observed: Mapping[str, ObservedCollection]) -> Plan:
    """Compare."""
    return Plan(tuple(change for each in desired for change in _changes(each, observed.get(each.name))))


def _changes(desired: DesiredCollection, observed: ObservedCollection | None) -> Iterator[Change]:
    if observed is None:
        yield Change(Drift.MISSING_COLLECTION, desired.name, None, "with its validator")
        observed = ObservedCollection("collection", {"validator": desired.validator, **VALIDATION}, {})
    problem = _unusable(observed)
    if problem:
        yield Change(Drift.UNUSABLE_COLLECTION, desired.name, None, problem)
        return
    yield from _validator_changes(desired, observed)
    yield from _index_changes(desired, observed)


def _unusable(observed: ObservedCollection) -> str | None:
    if observed.kind != "collection":
        return f"the name is taken by a {observed.kind}: rename that, or choose a collection prefix"
    if "collation" in observed.options:
        return "has a collation, and identifiers must compare byte for byte: move the records to a new collection"
    if observed.options.get("capped"):
        return "is capped, so records would vanish early: move the records to a new collection"
    return None


def _validator_changes(desired: DesiredCollection, observed: ObservedCollection) -> Iterator[Change]:
    if not observed.options.get("validator"):
        yield Change(Drift.MISSING_VALIDATOR, desired.name, None, "documents that exist are not touched")
        return
    changed = [name for name, value in VALIDATION.items() if observed.options.get(name, value) != value]
    if observed.options["validator"] != desired.validator:
        changed.append("validator")
    if changed:
        detail = f"differs in {', '.join(changed)}; documents that exist are not touched"
        yield Change(Drift.CHANGED_VALIDATOR, desired.name, None, detail)


def _index_changes(desired: DesiredCollection, observed: ObservedCollection) -> Iterator[Change]:
    foreign = {name: index for name, index in observed.indexes.items() if name not in desired.indexes}
    for name, index in desired.indexes.items():
        found = observed.indexes.get(name)
        if found is not None and _significant(found) == _significant(index):
            continue
        rival = next((other for other, each in foreign.items() if _identity(each) == _identity(index)), None)
        if rival is not None:
            del foreign[rival]
            detail = f"has the keys of {name}, which can't be made beside it; kept unless --drop-foreign is given"
            yield Change(Drift.CONFLICTING_INDEX, desired.name, rival, detail)
        elif found is None:
            yield Change(Drift.MISSING_INDEX, desired.name, name, _described(index))
        else:
            yield _changed(desired.name, name, index, found)
    for name, index in foreign.items():
        detail = f"{_described(index)}; kept unless --drop-foreign is given"
        yield Change(Drift.FOREIGN_INDEX, desired.name, name, detail)


def _changed(collection: str, name: str, index: Mapping[str, Any], found: Mapping[str, Any]) -> Change:
    wanted, present = _significant(index), _significant(found)
    ttl = wanted.pop("expireAfterSeconds", None)
    present_ttl = present.pop("expireAfterSeconds", None)
    if wanted == present and ttl is not None:
        detail = f"removes records {_when(present_ttl)}, must be {_when(ttl)}; changed in place"
        return Change(Drift.CHANGED_TTL, collection, name, detail)
    detail = f"is {_described(found)}, must be {_described(index)}; built anew, so missing meanwhile"
    return Change(Drift.CHANGED_INDEX, collection, name, detail)


def _significant(index: Mapping[str, Any]) -> dict[str, Any]:
    """A definition as the server would understand it, whichever way it is spelled."""
    kept = {
        name: value
        for name, value in index.items()
        if name not in _INSIGNIFICANT and value is not False and value != {}
    }
    # The order of the keys counts.
    kept["key"] = tuple((field, _direction(order)) for field, order in dict(kept["key"]).items())
    if kept.get("collation"):
        given = dict(kept["collation"])
        given.pop("version", None)
        kept["collation"] = _COLLATION_DEFAULTS | given
    return kept


def _identity(index: Mapping[str, Any]) -> dict[str, Any]:
    significant = _significant(index)
    return {name: significant.get(name) for name in _IDENTITY}


def _direction(order: Any) -> Any:
    return order if isinstance(order, str) else int(order)


def _described(index: Mapping[str, Any]) -> str:
    significant = _significant(index)
    keys = ", ".join(field if order == 1 else f"{field}: {order}" for field, order in significant.pop("key"))
    options = "".join(f", {name}={value}" for name, value in sorted(significant.items()))
    return f"({keys}){options}"


def _when(ttl: Any) -> str:
    return "never" if ttl is None else f"{ttl:g} s after their instant"
