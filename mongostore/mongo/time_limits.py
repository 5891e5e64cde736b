"""Ends calls that take too long, for next to nothing: one timer looks after all that are under way."""

import asyncio
import time
from typing import Protocol

# A call that was told to end and goes on is told again after this many seconds: the driver may take it for its own.
_TOLD_AGAIN_AFTER = 0.1


class Limited(Protocol):
    """A call under way."""

    def expire(self) -> None:
        """Be told that the time is over."""


class TimeLimit:
    """One limit for any number of calls.

    The driver's own `pymongo.timeout` also limits the server's work, and costs as much as a fourteenth of a whole
    command on one record, which the server does at once. So it is left for commands that may take long there.
    """

    def __init__(self, seconds: float) -> None:
        """Args: how long each call may take."""
        self.seconds = seconds
        # In the order in which they began, which is that of their deadlines.
        self._deadlines: dict[Limited, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, call: Limited) -> None:
        """Start a call's time."""
        self._deadlines[call] = time.monotonic() + self.seconds
        loop = asyncio.get_running_loop()
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._timer = loop.call_later(self.seconds, self._expire, loop)

    def end(self, call: Limited) -> None:
        """Stop a call's time."""
        del self._deadlines[call]

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        wait: float | None = None
        for call, deadline in list(self._deadlines.items()):
            if deadline > now:
                wait = wait or deadline - now
                break
            call.expire()
            wait = _TOLD_AGAIN_AFTER
        self._timer = None if wait is None else loop.call_later(wait, self._expire, loop)
