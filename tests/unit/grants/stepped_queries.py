"""What a query means and what an update does, for the few operators that `mongostore.mongo` sends for grants.

An operator that is not known here raises: a new one must be taught before the model says anything about it.
"""

from collections.abc import Callable, Mapping
from typing import Any

_MISSING = object()

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$in": lambda value, wanted: any(_equal(value, each) for each in wanted),
    "$nin": lambda value, wanted: not any(_equal(value, each) for each in wanted),
    "$ne": lambda value, wanted: not _equal(value, wanted),
    "$eq": lambda value, wanted: value == wanted,
    "$gt": lambda value, bound: _is_comparable(value) and value > bound,
    "$gte": lambda value, bound: _is_comparable(value) and value >= bound,
    "$lt": lambda value, bound: _is_comparable(value) and value < bound,
    "$lte": lambda value, bound: _is_comparable(value) and value <= bound,
    "$exists": lambda value, wanted: (value is not _MISSING) == wanted,
    "$not": lambda value, condition: not _holds(value, condition),
}


def matches(document: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Tell whether a document is what a query asks for."""
    for name, condition in query.items():
        if name == "$nor":
            if any(matches(document, each) for each in condition):
                return False
        elif name == "$or":
            if not any(matches(document, each) for each in condition):
                return False
        elif not _holds(document.get(name, _MISSING), condition):
            return False
    return True


def updated(
    document: Mapping[str, Any], update: Mapping[str, Any] | list[Any], *, inserted: bool = False
) -> dict[str, Any]:
    """What an update makes of a document."""
    if isinstance(update, list):
        return _through_pipeline(dict(document), update)
    result = dict(document)
    for operator, fields in update.items():
        for name, value in fields.items():
            if operator == "$set" or (operator == "$setOnInsert" and inserted):
                result[name] = value
            elif operator == "$unset":
                result.pop(name, None)
            elif operator == "$inc":
                result[name] = result.get(name, 0) + value
            elif operator == "$min":
                result[name] = min(result.get(name, value), value)
            elif operator != "$setOnInsert":
                raise NotImplementedError(operator)
    return result


def equalities(query: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that an upsert takes over from its query."""
    return {name: value for name, value in query.items() if name[0] != "$" and not isinstance(value, Mapping)}


def _holds(value: Any, condition: Any) -> bool:
    if not isinstance(condition, Mapping):
        return _equal(value, condition)
    return all(_COMPARISONS[operator](value, wanted) for operator, wanted in condition.items())


def _equal(value: Any, wanted: Any) -> bool:
    # Absent and null are the same to a query; true and 1 are not.
    value = None if value is _MISSING else value
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)


def _is_comparable(value: Any) -> bool:
    return value is not _MISSING and value is not None


def _through_pipeline(document: dict[str, Any], stages: list[Any]) -> dict[str, Any]:
    for stage in stages:
        ((operator, fields),) = stage.items()
        if operator != "$set":
            raise NotImplementedError(operator)
        values = {name: _value(document, expression) for name, expression in fields.items()}
        document = {name: value for name, value in (document | values).items() if value is not _MISSING}
    return document


def _value(document: Mapping[str, Any], expression: Any) -> Any:
    if expression == "$$REMOVE":
        return _MISSING
    if isinstance(expression, str) and expression.startswith("$"):
        return document.get(expression[1:], _MISSING)
    if isinstance(expression, list):
        return [_value(document, each) for each in expression]
    if not isinstance(expression, Mapping):
        return expression
    ((operator, operand),) = expression.items()
    if operator == "$switch":
        for branch in operand["branches"]:
            if _is_true(_value(document, branch["case"])):
                return _value(document, branch["then"])
        return _value(document, operand["default"])
    values = [_value(document, each) for each in operand]
    return _OPERATIONS[operator](*values)


def _is_true(value: Any) -> bool:
    return value is not _MISSING and bool(value)


def _present(values: tuple[Any, ...]) -> list[Any]:
    return [value for value in values if value is not _MISSING and value is not None]


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "$cond": lambda condition, then, otherwise: then if _is_true(condition) else otherwise,
    "$ifNull": lambda value, otherwise: otherwise if value is _MISSING or value is None else value,
    "$min": lambda *values: min(_present(values), default=None),
    "$max": lambda *values: max(_present(values), default=None),
    "$eq": lambda one, other: one == other,
    "$ne": lambda one, other: one != other,
    "$and": lambda *values: all(map(_is_true, values)),
    "$or": lambda *values: any(map(_is_true, values)),
}
