"""Handles and the keys that grants are stored under, against the vectors."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongostore import MemoryStore
from mongostore.grants.handles import consent_handle, grant_key, new_handle
from mongostore.models import PersistedGrantType
from mongostore.testing.factories import a_consent, an_authorization_code

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "handles.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS["grant_keys"], ids=lambda vector: vector["type"])
def test_a_grant_key_is_the_hash_of_handle_and_type(vector):
    """Every grant in every database lies under a key that was made so: it must never change."""
    assert grant_key(vector["handle"], vector["type"]) == vector["key"]


@pytest.mark.parametrize("vector", VECTORS["consent_handles"], ids=lambda vector: vector["handle"])
def test_a_consent_handle_names_client_and_subject(vector):
    """Client, bar, subject, version; inside an id only `%` and `|` are written otherwise."""
    assert consent_handle(vector["client_id"], vector["subject_id"]) == vector["handle"]


def test_the_vectors_cover_every_type_that_the_library_stores():
    """A type without a vector could change its key unseen."""
    stored = set(PersistedGrantType) - {PersistedGrantType.DeviceCode, PersistedGrantType.UserCode}
    assert {vector["type"] for vector in VECTORS["grant_keys"]} == stored


def test_the_same_handle_under_another_type_has_another_key():
    """A code's handle is no refresh token's."""
    handle = new_handle()
    assert len({grant_key(handle, each) for each in PersistedGrantType}) == len(PersistedGrantType)


def test_a_new_handle_has_the_reference_s_form():
    """64 upper-case hex digits and `-1`, and never the same twice."""
    handles = {new_handle() for _ in range(1_000)}
    assert len(handles) == 1_000
    for handle in handles:
        assert len(handle) == 66
        assert handle.endswith("-1")
        assert set(handle[:64]) <= set("0123456789ABCDEF")


@pytest.mark.parametrize("handle", ["", "x" * 100_000, "a\0b", "\ud800", "日本"])
def test_any_text_has_a_key(handle):
    """What a party sends for a handle is hashed, whatever it is: a key is always 64 upper-case hex digits."""
    key = grant_key(handle, "refresh_token")
    assert len(key) == 64
    assert set(key) <= set("0123456789ABCDEF")


IDS = st.text(alphabet="ab%|7C25-1", min_size=1, max_size=6)


@given(st.tuples(IDS, IDS), st.tuples(IDS, IDS))
def test_different_pairs_never_share_a_consent_handle(one, other):
    """However the ids mix bars, percent signs and what looks like their codes, a handle belongs to one pair."""
    assert (consent_handle(*one) == consent_handle(*other)) == (one == other)


async def test_the_stores_use_these_keys(monkeypatch):
    """What a store writes lies under the key of the vectors."""
    code, consent = VECTORS["grant_keys"][0], VECTORS["grant_keys"][-1]
    monkeypatch.setattr("mongostore.grants.authorization_codes.new_handle", lambda: code["handle"])
    async with MemoryStore() as store:
        await store.authorization_codes.store_authorization_code(an_authorization_code())
        await store.user_consents.store_user_consent(a_consent(client_id="mvc.code", subject_id="1"))
        assert (await store.persisted_grants.get(code["key"])).type == code["type"]
        assert (await store.persisted_grants.get(consent["key"])).type == consent["type"]
