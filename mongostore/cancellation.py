"""Whether a task was asked to stop: for loops that must end then, whatever the cancellation was turned into.

A driver may turn a cancellation into an error of its own, or lose it in a pool; a callback may swallow it.
"""

import asyncio


class Cancellation:
    """Whether the present task was asked to stop since this object was made."""

    def __init__(self) -> None:
        """Make it in the task that is to stop."""
        self._before = _times_asked()

    def check(self) -> None:
        """Raise `CancelledError` if the task was asked to stop; call it between two steps of the work."""
        if _times_asked() > self._before:
            raise asyncio.CancelledError


def _times_asked() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0
