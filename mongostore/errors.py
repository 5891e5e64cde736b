"""Every error of mongostore: one meaning each, data in attributes, never a handle, payload, key or password in the text.

Wrong argument types and values are Python's own `TypeError` and `ValueError`.
"""

from collections.abc import Callable, Sequence
from typing import Self, TypeVar

Kind = TypeVar("Kind", bound="MongostoreError")


class MongostoreError(Exception):
    """The root: catch it to catch everything that mongostore itself raises."""

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[object, ...], dict[str, object]]:
        """Let an error pass from one process to another: the constructors take more than the message."""
        return _remade, (type(self), *self.args), vars(self)


def _remade(kind: type[Kind], *args: object) -> Kind:
    return kind.__new__(kind, *args)


class NotFound(MongostoreError):
    """What was to be changed is not there; nothing was written. Look-ups give None instead."""


class AlreadyExists(MongostoreError):
    """What was to be created exists already; nothing was written."""


class StaleRevision(MongostoreError):
    """Somebody saved since the caller read: read again, merge, save with the new revision.

    Attributes:
        expected: the revision that the caller holds.
        actual: the revision that is stored, or None when the record is gone.
    """

    def __init__(self, message: str, *, expected: int, actual: int | None) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class InvalidModel(MongostoreError):
    """What is to be saved breaks the rules, and nothing was written; or what was read to be changed does.

    Attributes:
        problems: every broken rule, one sentence each.
    """

    def __init__(self, what: str, problems: Sequence[str], verdict: str = "can't be saved") -> None:
        self.problems = tuple(problems)
        listed = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{what} {verdict}:{listed}")


class StorageUnavailable(MongostoreError):
    """MongoDB did not do it in time, could not be reached, or refused; the driver's error is the cause."""


class PayloadUnreadable(MongostoreError):
    """A stored record can't be read: not sealed, moved, cut short, altered, or not of the expected form.

    Attributes:
        collection: the kind of record ("grants").
    """

    def __init__(self, message: str, *, collection: str | None = None) -> None:
        super().__init__(message)
        self.collection = collection


class KeyUnavailable(MongostoreError):
    """A data key is missing, destroyed, or wrapped by a master key that was not given.

    Attributes:
        key_id: the data key's id, 32 hex digits, or None when it is not about one key.
    """

    def __init__(self, message: str, *, key_id: str | None = None) -> None:
        super().__init__(message)
        self.key_id = key_id


class ConfigurationError(MongostoreError):
    """The store was set up wrongly; the message says what to change."""


class MongostoreWarning(UserWarning):
    """Something that works, but not as it should in production; the message says what to do."""
