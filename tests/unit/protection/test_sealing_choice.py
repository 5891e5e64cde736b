"""Which data key seals, as a pure decision: among keys that open, and beside records that don't."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongostore.errors import KeyUnavailable, StorageUnavailable
from mongostore.protection.sealing_choice import Unopened, choose_sealing_key
from mongostore.stores.data_keys import DataKeyRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CURRENT, OTHER = "local:current", "local:other"
ALTERED, SILENT = KeyUnavailable("altered"), StorageUnavailable("no answer")


def a_record(generation, master_key_id=CURRENT, **values):
    record = DataKeyRecord(
        tenant="default",
        generation=generation,
        purpose="data" if generation else "hash",
        key_id=bytes([generation]) * 16,
        wrapped=b"w",
        master_key_id=master_key_id,
        created=NOW - DAY,
        activates_at=NOW - DAY,
        destroyed_at=None,
    )
    return replace(record, **values)


def choose(opened=(), unopened=(), sealed_before=None):
    return choose_sealing_key(NOW, opened, unopened, master_key_id=CURRENT, sealed_before=sealed_before)


@pytest.mark.parametrize("record", [a_record(1, OTHER), a_record(1, opens_only=True), a_record(0)])
def test_keys_that_open_only_are_followed_by_one_that_seals(record):
    """Made under another master key, marked, or for hashes: none seals, and a new one is to be made."""
    assert choose([record]).needs_key
    assert choose([record, a_record(2)]).active == a_record(2)
    assert choose([a_record(1), replace(record, generation=2)]).active == a_record(1)


def test_an_empty_ring_needs_its_first_key():
    """Nothing opened and nothing unopened."""
    assert choose().needs_key


def test_older_records_that_do_not_open_stop_nothing():
    """Neither those of a former master key nor damaged ones: what they sealed is lost, not what is to be sealed."""
    older = [Unopened(a_record(0), ALTERED), Unopened(a_record(1, OTHER), ALTERED), Unopened(a_record(2), SILENT)]
    assert choose([a_record(3)], older).active == a_record(3)


@pytest.mark.parametrize("active", [a_record(1), a_record(1, OTHER)])
def test_a_damaged_record_is_gone_past(active):
    """It names the master key that others open by, and does not open: older keys must not seal in its place."""
    for damaged in (Unopened(a_record(2), ALTERED), Unopened(a_record(2, "", damaged=True), ALTERED)):
        assert choose([active], [damaged]).needs_key


def test_where_nothing_opens_no_key_is_made():
    """A node with the wrong master key must not begin a ring of its own."""
    for unopened in (a_record(1), a_record(1, OTHER), a_record(0)):
        assert choose([], [Unopened(unopened, ALTERED)]).refusal is ALTERED


@pytest.mark.parametrize("error", [ALTERED, SILENT])
def test_a_younger_key_of_a_master_key_that_is_not_here_refuses(error):
    """Other nodes have another master key: making keys against theirs would never end."""
    assert choose([a_record(1)], [Unopened(a_record(2, OTHER), error)]).refusal is error


def test_a_service_that_does_not_answer_stops_no_node_that_seals():
    """It goes on with the key that it has; one that has none yet can't know which key seals."""
    silent = [Unopened(a_record(2), SILENT)]
    assert choose([a_record(1)], silent, sealed_before=a_record(1).key_id).active == a_record(1)
    assert choose([a_record(1)], silent, sealed_before=a_record(2).key_id).refusal is SILENT
    assert choose([a_record(1)], silent).refusal is SILENT
    assert (
        choose([a_record(1)], [*silent, Unopened(a_record(3, OTHER), ALTERED)], a_record(1).key_id).refusal is ALTERED
    )


@given(
    st.lists(
        st.tuples(st.sampled_from([CURRENT, OTHER]), st.booleans(), st.sampled_from([None, ALTERED, SILENT])),
        max_size=6,
    )
)
def test_nothing_seals_below_a_record_that_was_altered(drawn):
    """Whatever the ring: what seals is of the current master key, not marked, and older than no altered record."""
    records = [a_record(number, master, opens_only=marked) for number, (master, marked, _) in enumerate(drawn, 1)]
    errors = [error for _, _, error in drawn]
    opened = [record for record, error in zip(records, errors, strict=True) if error is None]
    unopened = [Unopened(record, error) for record, error in zip(records, errors, strict=True) if error is not None]
    choice = choose(opened, unopened)
    if choice.active is not None:
        assert choice.active in opened
        assert choice.active.master_key_id == CURRENT
        assert not choice.active.opens_only
        assert all(each.record.generation < choice.active.generation for each in unopened)
    assert choice.needs_key == (choice.active is None and choice.refusal is None)
