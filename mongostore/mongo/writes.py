"""The writes of single records, sent so that a primary's stepping down costs their callers a moment and no error."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from pymongo.errors import NotPrimaryError

T = TypeVar("T")

# NotWritablePrimary and NotPrimaryNoSecondaryOk: the server refuses the command as a whole and has written nothing.
_REFUSED: Final = frozenset({10107, 13435})


async def sent(write: Callable[[], Awaitable[T]]) -> T:
    """Send a write, and again for as long as the server refuses it because it is the primary no more.

    The driver does that by itself, but where another call has learnt of the step-down a moment before: then it sends the
    write without the number that makes it repeatable, and gives up. In a burst of calls that hits nearly all of them.
    It looks for the new primary before each attempt, within the time limit of the call around.

    Args:
        write: sends it.
    """
    while True:
        try:
            return await write()
        except NotPrimaryError as refusal:
            answer = refusal.details
            if not isinstance(answer, Mapping) or answer.get("code") not in _REFUSED:
                raise
