"""Says which known name may have been meant by an unknown one."""

import difflib
from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

UNKNOWN = "extra_forbidden"
"""Pydantic's type of such an error."""


def suggestion(unknown: str, known: Iterable[str]) -> str:
    """Ask whether the nearest known name was meant; empty when none is near."""
    near = difflib.get_close_matches(unknown, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def with_suggestions(error: ValidationError, known: Iterable[str]) -> ValidationError:
    """Add the nearest known name to each unknown one; the error as it is when all names are known."""
    known = list(known)
    details = error.errors(include_url=False, include_context=False, include_input=False)
    if not any(detail["type"] == UNKNOWN for detail in details):
        return error
    told = []
    for detail in details:
        message = detail["msg"]
        if detail["type"] == UNKNOWN and len(detail["loc"]) == 1:
            message = f"There is no such property{suggestion(str(detail['loc'][0]), known)}"
        kind = PydanticCustomError(detail["type"], "{message}", {"message": message})
        told.append(InitErrorDetails(type=kind, loc=detail["loc"], input=None))
    return ValidationError.from_exception_data(error.title, told, hide_input=True)
