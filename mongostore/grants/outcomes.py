"""What became of a redemption or a rotation."""

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from mongostore.models import RefreshToken

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Redemption(Generic[T]):
    """The answer to one attempt to redeem a handle.

    Attributes:
        outcome: "redeemed": to this caller alone; "replayed": it had been redeemed before; "unknown": not there, or expired.
        value: what the handle stood for, on a replay too, so that the server can act on it; None when unknown.
        family: what everything issued from it has in common: pass it on when issuing, and to `grants.remove_family` on a
            replay (RFC 6749 §4.1.2).
    """

    outcome: Literal["redeemed", "replayed", "unknown"]
    value: T | None = None
    family: str | None = None


@dataclass(frozen=True, slots=True)
class Rotation:
    """The answer to one attempt to rotate a refresh token.

    Attributes:
        outcome: "rotated": to this caller alone; "retried": the same successor once more, inside the grace; "replayed":
            a second use, and the family is gone; "unknown": not there, expired or revoked.
        handle: the successor's handle when rotated or retried.
        token: the successor when rotated or retried; the old token when replayed.
        family: what the token and all that was issued with it have in common: pass it on when issuing at a refresh. None
            when unknown.
        retries: how often the old token was presented again inside the grace, this time included; 0 unless retried.
    """

    outcome: Literal["rotated", "retried", "replayed", "unknown"]
    handle: str | None = field(default=None, repr=False)
    token: RefreshToken | None = None
    family: str | None = None
    retries: int = 0
