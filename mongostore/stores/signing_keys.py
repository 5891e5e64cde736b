"""Where signing keys are kept. What a key's data mean is the signing manager's business, not the store's."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mongostore.errors import AlreadyExists, KeyUnavailable, PayloadUnreadable
from mongostore.models import SerializedKey
from mongostore.models.base import to_payload
from mongostore.models.identifiers import check_identifier
from mongostore.models.revalidation import revalidated

MAX_DATA_BYTES = 2**20


class SigningKeyStore(Protocol):
    """Signing keys by their id (`kid`). All methods raise `StorageUnavailable` when the database does not answer.

    The data of a key are in clear here and sealed below.
    """

    async def load_keys(self) -> list[SerializedKey]:
        """Read every key, in the order in which they were stored. Unreadable ones are logged and left out.

        Raises:
            PayloadUnreadable, KeyUnavailable: there are keys, and not one could be read: nobody may take that for none.
        """

    async def store_key(self, key: SerializedKey) -> None:
        """Add a key, of an older system for example. Its time to be published counts from now, if it is older.

        Args:
            key: its data are the private JWK of its algorithm, with the key's id as `kid` and its algorithm as `alg`, if
                they are named. It signs while it is younger than `SigningOptions.rotation_interval`, counted from its
                `created`. However old it is, it is published, and not deleted, until `rotation_interval` and
                `retention_duration` after it was stored.

        Raises:
            AlreadyExists: a key with this id is there.
            TypeError, ValueError: it is no key, or one that can't be stored or could not sign (PEM, a public or a
                symmetric key, another algorithm); the message says what is wrong.
        """

    async def delete_key(self, id: str) -> bool:  # noqa: A002 - the reference's name
        """Delete a key, readable or not: True when there was one, False otherwise."""


@dataclass(frozen=True, slots=True)
class SigningKeyRecord:
    """A stored key, and what is known of it even when it can't be read.

    Attributes:
        generation: its place in the order in which the tenant's keys were stored; counts from 1.
        id: the `kid`.
        created: None when the record was damaged.
        supersedes: it takes over from older keys as soon as it is propagated, whatever time is left to them.
        stored: when it came in, by the store's time; None when the record was damaged, or made by an older version.
        key: None when it can't be read.
        damage: why it can't be read.
    """

    generation: int
    id: str
    algorithm: str
    created: datetime | None
    supersedes: bool = False
    stored: datetime | None = None
    key: SerializedKey | None = None
    damage: PayloadUnreadable | KeyUnavailable | None = None


@dataclass(frozen=True, slots=True)
class SigningKeySnapshot:
    """A tenant's keys as they were at one moment.

    Attributes:
        generation: the newest one ever stored, deleted keys included; 0 before the first.
        records: every key that is there, by ascending generation.
        read_at: the moment, by the store's own time (the database server's); None where there was no record.
    """

    generation: int
    records: tuple[SigningKeyRecord, ...]
    read_at: datetime | None = None


class SigningKeyRecords(SigningKeyStore, Protocol):
    """What the signing manager needs beside `SigningKeyStore`: to add a key only to the keys that it has seen."""

    async def read(self) -> SigningKeySnapshot:
        """Read every record, from the primary, as a majority holds it: what `add` acknowledged is there."""

    async def read_unopened(self) -> SigningKeySnapshot:
        """Read what lies in clear of every record, at the cost of one look: nothing is opened, and `key` is None.

        It is not proven, so it may only decide whether to `read`.
        """

    async def add(self, key: SerializedKey, *, after: int, supersedes: bool = False) -> bool:
        """Store a key as generation `after + 1`, unless that exists: of any number of callers, one stores a generation.

        So a key is only ever added to the keys that its maker has decided from.

        Returns:
            True once a majority has it; False when somebody else stored a key since: read again.

        Raises:
            StorageUnavailable: it is not known whether it was stored; read to see.
        """

    async def retire(self, generation: int, at: datetime) -> bool:
        """Delete a key unless the store's own time stands before `at`: a node whose clock is wrong deletes nothing.

        Returns:
            True when it was deleted by this call.
        """


def check_signing_key(key: SerializedKey) -> SerializedKey:
    """Give a key as it is to be stored; `model_copy(update=…)` can make one that can't be.

    Raises:
        TypeError: it is no key.
        ValueError: a field holds what it can't, or the data exceed 1 MiB.
    """
    key = revalidated(key, SerializedKey)
    check_identifier("algorithm", key.algorithm)
    to_payload(key)  # Refuses what JSON can't hold.
    if len(key.data.encode()) > MAX_DATA_BYTES:
        raise ValueError("the data of a signing key must not exceed 1 MiB (counted in UTF-8)")
    return key


def signing_key_exists(key_id: str) -> AlreadyExists:
    """Make the error for an id that is taken."""
    return AlreadyExists(f"a signing key with the id {key_id[:100]!r} exists already: delete it first, or use a new id")
