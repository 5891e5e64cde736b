"""Leases: a job that one node may do at a time, until it is done or the node is gone."""

from datetime import timedelta
from typing import Protocol


class JobLease(Protocol):
    """A lease that was acquired."""

    async def renew(self) -> bool:
        """Let the duration begin anew; False when the lease has passed on or expired."""

    async def release(self) -> None:
        """Let the next one have it now."""


class JobLeases(Protocol):
    """The leases of one tenant."""

    async def acquire(self, name: str, duration: timedelta) -> JobLease | None:
        """Take the lease of a job unless somebody holds it: None when somebody does."""
