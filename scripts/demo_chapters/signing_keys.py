"""A year in the life of signing keys, on a clock that is told to move."""

from datetime import timedelta

from demo_chapters.stage import Chapter, Stage, short
from mongostore import MemoryStore, SigningOptions, StoreOptions
from mongostore.testing import FakeClock

DAYS = 365
TOKEN_LIFETIME_DAYS = 14
DAYS_PER_CHARACTER = 5
MOST_KEYS = 2
OPTIONS = StoreOptions(signing=SigningOptions(signing_algorithms=["ES256"]))
_ANNOUNCED, _SIGNS, _VALIDATES = "·", "█", "░"


async def show(stage: Stage) -> None:
    """Ask every day who signs and what is published, and draw it."""
    clock = FakeClock()
    signers: list[str] = []
    published: list[list[str]] = []
    # In memory: on MongoDB a key is retired by the server's own time, which nobody can move.
    async with MemoryStore(options=OPTIONS, clock=clock) as store:
        for _ in range(DAYS):
            credentials = await store.signing.get_signing_credentials()
            signers.append(credentials.key_id if credentials else "none")
            published.append([jwk["kid"] for jwk in (await store.signing.jwks())["keys"]])
            clock.advance(timedelta(days=1))

    stage.teller.remark(f"{_ANNOUNCED} announced   {_SIGNS} signs   {_VALIDATES} validates only")
    keys = list(dict.fromkeys(key for day in published for key in day))
    for key in keys:
        stage.teller.field(f"key {short(key)}", _timeline(key, signers, published))
    stage.teller.claim(
        f"{DAYS} days without a job or a hand: keys come and go",
        len(set(signers)) > 1,
        f"{len(keys)} made, {len(set(signers))} have signed",
    )
    most = max(map(len, published))
    stage.teller.claim("what is published stays small", most <= MOST_KEYS, f"at most {most} keys in the JWK Set")
    stage.teller.claim(
        "but for the first, each is known 14 days before it signs",
        all(keys[0] == signers[day] or signers[day] in published[max(day - 13, 0)] for day in range(DAYS)),
        "whoever caches keys has it",
    )
    stage.teller.claim(
        f"every token validates for its {TOKEN_LIFETIME_DAYS} days",
        all(
            signers[signed] in published[day]
            for day in range(DAYS)
            for signed in range(max(day - TOKEN_LIFETIME_DAYS + 1, 0), day + 1)
        ),
        f"{DAYS} tokens, one a day",
    )


def _timeline(key: str, signers: list[str], published: list[list[str]]) -> str:
    line = ""
    for day in range(0, DAYS, DAYS_PER_CHARACTER):
        if key not in published[day]:
            line += " "
        elif key == signers[day]:
            line += _SIGNS
        else:
            line += _VALIDATES if key in signers[:day] else _ANNOUNCED
    return line.rstrip()


SIGNING_KEYS = Chapter(
    "A year of signing keys",
    "A signing key is announced for 14 days, signs until it is 90 days old, and validates for another 14. A request that "
    "finds one due makes it: there is no job to run. This year passes in memory, where the clock can be moved.",
    show,
)
