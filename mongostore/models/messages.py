"""Messages that a server leaves for its own next page: errors, logout, consent."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, JsonValue

from mongostore.models.base import Json, PositionalModel
from mongostore.models.instants import Instant, cut_to_milliseconds


def _now() -> datetime:
    # The one model that asks for the time itself: the reference's message is stamped when it is made, not when written.
    return cut_to_milliseconds(datetime.now(UTC))


class Message(PositionalModel):
    """Any JSON value, and when it was made."""

    positional: ClassVar[tuple[str, ...]] = ("data", "created")
    none_is_absent: ClassVar[bool] = False

    data: Json = Field(repr=False)
    created: Instant = Field(default_factory=_now)

    if TYPE_CHECKING:

        def __init__(self, data: JsonValue, created: datetime = ...) -> None: ...
