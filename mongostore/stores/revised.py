"""A value together with the revision that it is at: what is needed to change it without undoing somebody else's change."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Revised(Generic[T]):
    """What a `read_…` method gives.

    Attributes:
        value: the stored value.
        revision: the revision that this value has: pass it on as `expected_revision`.
    """

    value: T
    revision: int
