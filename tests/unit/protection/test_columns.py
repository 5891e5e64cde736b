"""What stands in clear beside a sealed value is bound to it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from mongostore import LocalMasterKey, MongostoreError
from mongostore.clock import SystemClock
from mongostore.errors import PayloadUnreadable
from mongostore.memory.data_keys import MemoryDataKeyStore
from mongostore.protection.columns import encoded, with_columns, without_columns
from mongostore.protection.context import Context
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.protector import SealingProtector

PLACE = Context("default", "grants", "KEY", "payload")
NOON = datetime(2030, 1, 2, 12, 0, 0, 345_000, tzinfo=UTC)
COLUMNS: dict[str, Any] = {
    "type": "code",
    "subject_id": None,
    "expiration": NOON,
    "answered": False,
    "n": 7,
    "k": b"\1",
}


@pytest.fixture
def told() -> list[Context]:
    return []


@pytest.fixture
def protector(told: list[Context]) -> SealingProtector:
    ring = KeyRing(MemoryDataKeyStore(), LocalMasterKey.generate(), SystemClock())
    return SealingProtector(ring, told.append)


def test_the_form_is_frozen():
    """Columns are stored as compact JSON behind a mark and a length."""
    inside = b'{"type":"code","subject_id":null,"expiration":1893585600345,"answered":false,"n":7,"k":{"hex":"01"}}'
    assert encoded(COLUMNS) == inside
    assert with_columns(b"data", COLUMNS) == b"c" + len(inside).to_bytes(4, "big") + inside + b"data"
    assert without_columns(with_columns(b"data", COLUMNS)) == (inside, b"data")


@pytest.mark.parametrize("plaintext", [b"", b"tdata", b"bdata", b'{"A":1}', b"\0\0\0\4KEY!"])
def test_what_was_sealed_without_columns_has_none(plaintext: bytes):
    """Plaintexts of the old forms are told apart by their first byte."""
    assert without_columns(plaintext) == (None, plaintext)


async def test_the_same_columns_open(protector: SealingProtector, told: list[Context]):
    """A value opens beside the columns that it was sealed with, in any order."""
    sealed = await protector.seal(b"data", PLACE, COLUMNS)
    assert await protector.open(sealed, PLACE, COLUMNS) == b"data"
    assert await protector.open(sealed, PLACE, dict(reversed(COLUMNS.items()))) == b"data"
    assert told == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "refresh"),
        ("type", None),
        ("type", ["code"]),
        ("type", ObjectId("0" * 24)),
        ("subject_id", "admin"),
        ("expiration", NOON.replace(year=2031)),
        ("expiration", NOON.isoformat()),
        ("answered", True),
        ("answered", 0),
        ("n", 7.5),
        ("k", b"\2"),
    ],
)
async def test_a_changed_column_does_not_open(
    protector: SealingProtector, told: list[Context], name: str, value: object
):
    """A value does not open beside another column, and that is told; the message names the column, not what it holds."""
    sealed = await protector.seal(b"data", PLACE, COLUMNS)
    with pytest.raises(PayloadUnreadable, match=rf"{name} beside it was changed") as caught:
        await protector.open(sealed, PLACE, COLUMNS | {name: value})
    assert "admin" not in str(caught.value)
    assert told == [PLACE]


async def test_a_missing_column_does_not_open(protector: SealingProtector):
    """Taking a column away is a change as well."""
    sealed = await protector.seal(b"data", PLACE, COLUMNS)
    with pytest.raises(PayloadUnreadable, match="type beside it"):
        await protector.open(sealed, PLACE, {name: value for name, value in COLUMNS.items() if name != "type"})


async def test_a_later_column_is_no_change(protector: SealingProtector):
    """A record of before a column was introduced opens beside it."""
    sealed = await protector.seal(b"data", PLACE, COLUMNS)
    assert await protector.open(sealed, PLACE, COLUMNS | {"new": "value"}) == b"data"


async def test_an_old_value_opens_beside_any_columns(protector: SealingProtector):
    """What was sealed before columns were bound still opens."""
    assert await protector.open(await protector.seal(b"tdata", PLACE), PLACE, COLUMNS) == b"tdata"


async def test_a_value_that_was_moved_is_told(protector: SealingProtector, told: list[Context]):
    """A ciphertext in another place counts as tampered with, like an altered one."""
    sealed = await protector.seal(b"data", PLACE)
    elsewhere = PLACE._replace(record_id="OTHER")
    for value in (sealed, sealed[:-1] + bytes([sealed[-1] ^ 1]), b"plain"):
        with pytest.raises(MongostoreError):
            await protector.open(value, elsewhere)
    assert told == [elsewhere] * 3
