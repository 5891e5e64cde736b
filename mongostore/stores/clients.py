"""Where clients are kept."""

from collections.abc import AsyncIterator
from typing import Protocol

from mongostore.models import Client
from mongostore.models.client_validation import client_problems
from mongostore.stores.configuration import check_expected_revision, check_model
from mongostore.stores.revised import Revised


class ClientStore(Protocol):
    """Clients by their id, compared byte for byte. An impossible id (empty, NUL, over-long) finds nothing.

    Every save gives the client a revision: a positive integer, larger than any before it, that is never given again,
    not even after the client was deleted.

    Every method raises `StorageUnavailable` when the database does not answer in time. A save or deletion may then have
    happened or not.
    """

    async def find_client_by_id(self, client_id: str) -> Client | None:
        """Read a client, disabled or not; None when absent.

        Raises:
            PayloadUnreadable: the stored record is damaged.
        """

    async def find_enabled_client_by_id(self, client_id: str) -> Client | None:
        """Read a client; None when absent or disabled."""

    def get_all_clients(self) -> AsyncIterator[Client]:
        """Read every client, disabled ones included, by ascending id, some at a time.

        A client that is there throughout comes exactly once; one that is saved or deleted meanwhile may come or not.
        Unreadable ones are logged and left out.

        Raises:
            PayloadUnreadable: at the end, when there are clients and not one could be read.
        """

    async def save_client(self, client: Client, *, expected_revision: int | None = None) -> int:
        """Insert or replace a client: one atomic operation on the whole of it.

        Args:
            client: the client; its `client_id` says which.
            expected_revision: None saves anyway, 0 only a new client, n only over revision n. Of any number of
                concurrent savers with the same expectation, one succeeds.

        Returns:
            The revision that the client has now.

        Raises:
            InvalidModel: the client breaks rules; `problems` lists them all.
            AlreadyExists: 0 was expected, and the client is there.
            StaleRevision: the client is at another revision, or gone.
        """

    async def get_client_revision(self, client_id: str) -> int | None:
        """The revision that a client is at; None when absent. To change a client, use `read_client`."""

    async def read_client(self, client_id: str) -> Revised[Client] | None:
        """Read a client and its revision together, to change it; None when absent.

        Both come from one read of the primary, never from a cache: change the value, and save it with the revision as
        `expected_revision`.

        Raises:
            PayloadUnreadable: the stored record is damaged.
        """

    async def delete_client(self, client_id: str, *, expected_revision: int | None = None) -> bool:
        """Delete a client.

        Args:
            client_id: which one.
            expected_revision: None deletes anyway, n only at revision n.

        Returns:
            True when there was one, False otherwise.

        Raises:
            ValueError: 0 was expected.
            StaleRevision: the client is at another revision.
        """


def check_client(client: Client, expected_revision: int | None) -> Client:
    """Give a client as `save_client` is to save it; see there."""
    check_expected_revision(expected_revision)
    return check_model(client, Client, "the client", client_problems)
