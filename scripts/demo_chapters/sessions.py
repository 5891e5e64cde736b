"""Sessions: listed in pages, ended with what hangs on them, and processed when they expire."""

import asyncio
from datetime import timedelta

from demo_chapters.stage import SUBJECT, Chapter, Stage, a_refresh_token
from mongostore import MongoStore, StoreOptions
from mongostore.models import (
    AuthenticationTicket,
    Claim,
    Principal,
    RemoveSessionsContext,
    ServerSideSession,
    SessionQuery,
    UserSession,
)
from mongostore.testing import FakeClock

SESSIONS = 60
PAGE_SIZE = 25
# Their tokens end with their session, and their users are listed by name.
OPTIONS = StoreOptions(user_display_name_claim_type="name", coordinate_client_lifetimes_with_user_session=True)
_GIVEN_NAMES = ("Amir", "Bea", "Carla", "Dmitri", "Eva")
_MINUTE = timedelta(minutes=1)


async def show_pages(stage: Stage) -> None:
    """Sign sixty users in, page through them, and sign one out."""
    async with stage.store(options=OPTIONS) as store:
        await _sign_in(store)
        await _page(stage, store)
        await _sign_out(stage, store)


async def show_expiry(stage: Stage) -> None:
    """Let a session expire, fail to tell its client, and tell it later."""
    clock = FakeClock()
    async with stage.store(options=OPTIONS, clock=clock) as store:
        key = await store.tickets.store(_ticket(SUBJECT, expires_in=60, clock=clock))
        token = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        stage.teller.claim(
            "Alice is signed in for an hour",
            await store.tickets.retrieve(key) is not None and await store.sessions.process_expired(_forget) == 0,
            "nothing to process",
        )
        clock.advance(61 * _MINUTE)
        stage.teller.claim(
            "an hour later she is not", await store.tickets.retrieve(key) is None, "absent at every read"
        )

        async def unreachable(_: ServerSideSession) -> None:
            raise ConnectionError

        done = await store.sessions.process_expired(unreachable)
        left = await _records(stage)
        stage.teller.claim(
            "her client can't be told: the logout stays pending",
            (done, left) == (0, 1),
            f"{done} processed, {left} record",
        )
        again = await store.sessions.process_expired(_forget)
        stage.teller.claim("nobody else gets it within the lease of a minute", again == 0, f"{again} processed")

        told: list[str] = []
        clock.advance(_MINUTE)
        done = await store.sessions.process_expired(lambda session: told.append(session.session_id))
        stage.teller.claim(
            "a minute later it comes again, and is acknowledged",
            done == 1 and told == [SUBJECT.session_id],
            f"{done} processed: {', '.join(told)}",
        )
        stage.teller.claim(
            "the tokens of that session went with it",
            await store.refresh_tokens.get_refresh_token(token) is None,
            "refresh token: none",
        )
        left = await _records(stage)
        stage.teller.claim("only now is it gone", left == 0, f"{left} records")


async def _sign_in(store: MongoStore) -> None:
    users = [Principal([*SUBJECT.claims, Claim("name", "Alice")], "pwd")] + [
        Principal(
            [
                Claim("sub", f"user-{number}"),
                Claim("sid", f"session-{100 + number}"),
                Claim("name", f"{_GIVEN_NAMES[number % len(_GIVEN_NAMES)]} {number:02}"),
            ],
            "pwd",
        )
        for number in range(1, SESSIONS)
    ]
    await asyncio.gather(*(store.tickets.store(_ticket(user)) for user in users))


async def _page(stage: Stage, store: MongoStore) -> None:
    pages = [await store.sessions.query(SessionQuery(count_requested=PAGE_SIZE))]
    while pages[-1].has_next_results:
        token = pages[-1].results_token
        pages.append(await store.sessions.query(SessionQuery(count_requested=PAGE_SIZE, results_token=token)))
    for page in pages:
        stage.teller.field(
            f"page {page.current_page} of {page.total_pages}",
            f"{len(page.results)} of {page.total_count}: {_names(page.results)}",
        )
    seen = [each.session_id for page in pages for each in page.results]
    stage.teller.claim(
        f"{SESSIONS} users are signed in, and listed by name",
        len(seen) == len(set(seen)) == SESSIONS and pages[0].total_count == SESSIONS,
        f"{len(pages)} pages, none twice",
    )
    back = await store.sessions.query(
        SessionQuery(count_requested=PAGE_SIZE, results_token=pages[-1].results_token, request_prior_results=True)
    )
    stage.teller.claim(
        "a step back gives the page before",
        [each.session_id for each in back.results] == [each.session_id for each in pages[-2].results],
        f"page {back.current_page}",
    )
    found = await store.sessions.query(SessionQuery(display_name="CARLA"))
    stage.teller.claim(
        "a name is found by how it begins, in any spelling",
        bool(found.results) and all((each.display_name or "").startswith("Carla") for each in found.results),
        f"CARLA: {found.total_count} sessions",
    )


async def _sign_out(stage: Stage, store: MongoStore) -> None:
    token = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    told: list[UserSession] = []

    async def tell(session: UserSession) -> None:
        told.append(session)

    who = RemoveSessionsContext(subject_id=SUBJECT.subject_id, session_id=SUBJECT.session_id)
    ended = await store.sessions.end(who, on_logout=tell)
    stage.teller.claim(
        "Alice signs out: her session ends, and its clients are told",
        ended == 1 and [each.client_ids for each in told] == [["shop-web"]],
        f"{ended} session; told: {', '.join(client for each in told for client in each.client_ids)}",
    )
    stage.teller.claim(
        "the tokens of that session are revoked",
        await store.refresh_tokens.get_refresh_token(token) is None,
        "refresh token: none",
    )
    left = (await store.sessions.query()).total_count
    stage.teller.claim("all other sessions go on", left == SESSIONS - 1, f"{left} sessions")


def _ticket(user: Principal, *, expires_in: int | None = None, clock: FakeClock | None = None) -> AuthenticationTicket:
    expires = None if expires_in is None or clock is None else clock.now() + expires_in * _MINUTE
    return AuthenticationTicket(scheme="cookie", principal=user, expires=expires, client_ids=["shop-web"])


async def _records(stage: Stage) -> int:
    return await stage.raw["sessions"].count_documents({"subject_id": SUBJECT.subject_id})


def _forget(_: ServerSideSession) -> None:
    """Nobody is to be told."""


def _names(sessions: list[UserSession]) -> str:
    return f"{sessions[0].display_name} … {sessions[-1].display_name}"


PAGES = Chapter(
    "Who is signed in",
    "Sessions live on the server; the cookie holds a key only. They are listed in pages whose cost does not grow with "
    "their number, and end together with what was granted in them.",
    show_pages,
)
EXPIRY = Chapter(
    "No logout is lost",
    "An expired session is absent at once, and kept until its clients have been told: each comes to the callback at least "
    "once, whatever fails.",
    show_expiry,
)
