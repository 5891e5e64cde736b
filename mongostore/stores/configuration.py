"""What every store of configuration checks at its door, whichever its backend."""

from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

from mongostore.errors import AlreadyExists, InvalidModel, StaleRevision
from mongostore.models.base import Model, to_payload
from mongostore.models.identifiers import is_identifier
from mongostore.models.revalidation import validated
from mongostore.stores.arguments import several

ModelT = TypeVar("ModelT", bound=Model)

OFFLINE_ACCESS = "offline_access"
"""The scope that asks for refresh tokens (OpenID Connect Core §11): no resource stands for it."""

ScopeKind = Literal["identity_resource", "api_scope"]
"""The two kinds that share one name space. Frozen: stored with every scope."""

_SHOWN_LENGTH = 100
_LARGEST_REVISION = 2**63 - 1

# A document of short texts takes four times the room of their JSON, and must stay below MongoDB's 16 MiB.
_MOST_BYTES = 2 * 2**20


def check_model(model: ModelT, expected: type[ModelT], what: str, problems_of: Callable[[ModelT], list[str]]) -> ModelT:
    """Give a model as it is to be saved.

    Args:
        model: what is to be saved; `model_construct` and `model_copy` can have put anything into it.
        expected: the class that it must be of.
        what: what it is, for the message ("the client").
        problems_of: the rules for such a model.

    Raises:
        TypeError: it is of another class.
        InvalidModel: it breaks rules, all of which are listed, or is larger than MongoDB's documents may be.
    """
    if not isinstance(model, expected):
        raise TypeError(f"{what} must be a mongostore.models.{expected.__name__}, not {type(model).__name__}")
    checked = validated(expected, model)
    if isinstance(checked, list):
        raise InvalidModel(what, checked)
    if problems := problems_of(checked):
        raise InvalidModel(what, problems)
    if len(to_payload(checked)) > _MOST_BYTES:
        raise InvalidModel(what, [f"as JSON it must not exceed 2 MiB ({_MOST_BYTES:,} bytes)"])
    return checked


def check_expected_revision(expected_revision: int | None) -> None:
    """Refuse what no revision can be.

    Raises:
        TypeError: it is neither None nor an int (nor is a bool).
        ValueError: it is negative, or beyond 64 bits.
    """
    if expected_revision is None:
        return
    if not isinstance(expected_revision, int) or isinstance(expected_revision, bool):
        raise TypeError(f"expected_revision must be an int or None, not {type(expected_revision).__name__}")
    if not 0 <= expected_revision <= _LARGEST_REVISION:
        raise ValueError("expected_revision must be None (save anyway), 0 (must be new), or a revision that was read")


def check_revision_to_delete(expected_revision: int | None) -> None:
    """Refuse what no stored record can be at.

    Raises:
        TypeError, ValueError: as for `check_expected_revision`; and 0, which says that there is nothing to delete.
    """
    check_expected_revision(expected_revision)
    if expected_revision == 0:
        raise ValueError("expected_revision must be None (delete anyway) or a revision that was read, not 0")


def wanted_names(names: Iterable[str]) -> list[str]:
    """Give each of the names once that something can be stored under, in ascending order.

    Raises:
        TypeError: it is one text instead of several, or nothing that can be iterated over.
        ValueError: there are more than 10,000.
    """
    return sorted({name for name in several("names", names) if is_identifier(name)})


def named(noun: str, key: object) -> str:
    """What a record is called in a message. What can't be its key is not shown: it may be anything."""
    return f"the {noun} {key[:_SHOWN_LENGTH]!r}" if isinstance(key, str) else f"the {noun}"


def already_exists(what: str) -> AlreadyExists:
    """Make the error for a save that had to be the first."""
    return AlreadyExists(f"{what} exists already and was left as it is: save with its revision to replace it")


def name_in_use(what: str) -> AlreadyExists:
    """Make the error for a scope whose name the other kind has."""
    return AlreadyExists(
        f"{what} can't be saved, since a scope of the other kind has its name: no request could tell an identity "
        "resource and an API scope apart. Choose another name, or delete the other one first"
    )


def stale_revision(what: str, *, expected: int, actual: int | None) -> StaleRevision:
    """Make the error for a save or deletion that was based on an older revision."""
    now = "is gone" if actual is None else f"is at revision {actual}"
    return StaleRevision(
        f"{what} {now}, not at {expected}, and was left as it is: read again, decide again, and pass the new revision",
        expected=expected,
        actual=actual,
    )
