"""What a model holds is checked again where it is used: `model_copy(update=…)` and `model_construct` check nothing.

Every store takes what comes out of here and not what it was handed, so that all backends store the same.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mongostore.models.base import Model, unwritable
from mongostore.models.misspelt import UNKNOWN, suggestion

ModelT = TypeVar("ModelT", bound=Model)

_MOST_PROBLEMS = 20
_SHOWN_LENGTH = 100


def revalidated(model: object, expected: type[ModelT]) -> ModelT:
    """Give what validation makes of a model, and of all models inside it: an instance of `expected` itself.

    A subclass's instance is taken if it adds no property: an added one would be lost.

    Raises:
        TypeError: it is no `expected`, or a property holds another type.
        ValueError: a property holds what it can't, is missing, or is unknown. Values are not repeated.
    """
    if not isinstance(model, expected):
        raise TypeError(f"{_a(expected.__name__)} is needed, not {type(model).__name__}")
    return _valid(expected, model)


def made(model: type[ModelT], **fields: Any) -> ModelT:
    """Make a model of a caller's arguments, with the errors of `revalidated`."""
    return _valid(model, fields)


def validated(expected: type[ModelT], model: object) -> ModelT | list[str]:
    """The same where all problems are told at once: the model, or which properties hold what can't be stored, and how."""
    found = _validate(expected, model)
    if isinstance(found, list):
        return [text for text, _ in _problems(expected, found)]
    return unwritable(found) or found


def _valid(model: type[ModelT], given: object) -> ModelT:
    found = _validate(model, given)
    # Outside of the handler: the error that it handles keeps what it was given.
    if not isinstance(found, list):
        return found
    problems = _problems(model, found)
    kind = TypeError if all(is_of_type for _, is_of_type in problems) else ValueError
    raise kind(f"this {model.__name__} can't be used: {'; '.join(text for text, _ in problems)}")


def _validate(model: type[ModelT], given: object) -> ModelT | list[ErrorDetails]:
    """The model, or what is wrong with it."""
    try:
        validated: ModelT = model.__pydantic_validator__.validate_python(given)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False, include_input=False)
    except AttributeError:
        return [_detail("model_type", "it was not made by its constructor")]
    except RecursionError:
        return [_detail("recursion", "a value in it is nested too deeply")]
    except ValueError:
        return [_detail("value_error", "a value in it can't be shown, such as an int of thousands of digits")]
    return validated


def _detail(kind: str, message: str) -> ErrorDetails:
    return {"type": kind, "loc": (), "msg": message, "input": None}


def _problems(model: type[Model], details: Sequence[ErrorDetails]) -> list[tuple[str, bool]]:
    """Each problem in words, and whether it is one of type."""
    told = [(_told(model, detail), detail["type"].endswith("_type")) for detail in details[:_MOST_PROBLEMS]]
    if len(details) > _MOST_PROBLEMS:
        told.append((f"and {len(details) - _MOST_PROBLEMS:,} more", told[-1][1]))
    return told


def _told(model: type[Model], detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return message
    # What comes behind the first name may be a caller's own, such as the name of a value in `properties`.
    name = str(detail["loc"][0])[:_SHOWN_LENGTH]
    if detail["type"] == UNKNOWN:
        if len(detail["loc"]) > 1:
            return f"{name}: a model in it has an unknown property"
        return f"there is no property {name!r}{suggestion(name, model.model_fields)}"
    return message if message.startswith(name) else f"{name}: {message}"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIOU' else 'a'} {noun}"
