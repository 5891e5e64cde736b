"""No interleaving of rotations, issuing and revocations breaks a promise; see `rotation_model` for what these are."""

from itertools import product

import pytest
from rotation_model import FULL_REVOCATIONS, NO_GRACE, Scenario, explore_grants

TOKENS = ("token", "issued", "long_issued", "raw_token", "named_token")
TYPED = ("refresh_tokens", "reference_tokens")


def rotations() -> list[Scenario]:
    """Tokens that are rotated by several at once."""
    found: list[Scenario] = []
    for given, grace in product(TOKENS, ({}, {"grace": NO_GRACE})):
        found += [
            Scenario(given, ("rotate", "rotate"), crashes=1, **grace),
            Scenario(given, ("rotate", "rotate_twice"), crashes=1, **grace),
            Scenario(given, ("refresh", "rotate_twice"), **grace),
        ]
    return [
        *found,
        Scenario("token", ("rotate", "rotate", "rotate")),
        Scenario("token", ("refresh", "rotate"), losses=1),
    ]


def revoked_rotations() -> list[Scenario]:
    """Tokens that are rotated while they are revoked."""
    return [
        Scenario(given, (what, f"revoke_{revocation}"), order=order, crashes=1)
        for given, what, revocation, order in product(
            TOKENS, ("refresh", "rotate_twice"), ("family", "handle", "subject", *TYPED), ("backwards", "by anchor")
        )
        if _is_covered(given, revocation)
    ]


def revoked_codes() -> list[Scenario]:
    """Codes that are redeemed, and tokens that are issued from them, while they are replayed or revoked."""
    found: list[Scenario] = []
    for order in ("backwards", "forwards", "by anchor"):
        for rival in (*(f"revoke_{revocation}" for revocation in (*FULL_REVOCATIONS, *TYPED)), "redeem", "remove_code"):
            if rival not in ("revoke_family", "revoke_handle"):
                found.append(Scenario("unredeemed", ("redeem", rival), order=order, crashes=1))
            if rival != "revoke_handle":
                found += [
                    Scenario("redeemed", ("issue_refresh", "issue_reference", rival), order=order),
                    Scenario("redeemed", ("issue_and_rotate", rival), order=order),
                    Scenario("redeemed", ("issue_refresh", rival), order=order, crashes=1),
                    Scenario("redeemed", ("issue_reference", rival), order=order, losses=1),
                ]
    return found


def larger() -> list[Scenario]:
    """More callers, and answers that are lost on the way."""
    found: list[Scenario] = []
    for given, revocation in product(TOKENS, ("family", "handle", "subject", *TYPED)):
        if _is_covered(given, revocation):
            revoke = f"revoke_{revocation}"
            for order in ("backwards", "by anchor"):
                found += [
                    Scenario(given, ("rotate", "rotate", revoke), order=order),
                    Scenario(given, ("refresh", revoke), order=order, losses=1),
                ]
            if given in ("token", "raw_token"):
                found.append(Scenario(given, ("refresh", revoke), NO_GRACE, losses=1, crashes=1))
    for rival in ("redeem", "revoke_subject", *(f"revoke_{each}" for each in TYPED)):
        found += [
            Scenario("unredeemed", ("redeem", rival), losses=1),
            Scenario("redeemed", ("issue_refresh", "issue_reference", rival), crashes=1),
            Scenario("redeemed", ("issue_and_rotate", rival), crashes=1, losses=1),
        ]
    return [*found, Scenario("unredeemed", ("redeem", "redeem", "revoke_subject"))]


def _is_covered(given: str, revocation: str) -> bool:
    if given == "raw_token":
        # Its key becomes the name of a family with its first rotation.
        return revocation != "family"
    # Into a family that the server has named, tokens are issued until that family is removed.
    return given != "named_token" or revocation in ("family", "handle", "refresh_tokens")


@pytest.mark.parametrize("scenario", [*rotations(), *revoked_rotations(), *revoked_codes()], ids=str)
def test_no_interleaving_and_no_crash_breaks_a_promise(scenario):
    """Nothing is doubled, lost or brought back, whatever order the steps of all come in and wherever one of them dies."""
    assert explore_grants(scenario) > 10


@pytest.mark.slow
@pytest.mark.parametrize("scenario", larger(), ids=str)
def test_no_interleaving_of_more_callers_breaks_a_promise(scenario):
    """The same with more callers, and with answers that are lost after all, a part or nothing of the work was done."""
    assert explore_grants(scenario) > 100
