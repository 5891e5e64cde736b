"""What every `ServerSideSessionStore` does with queries: pages, forward and back.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from mongostore.models import QueryResult, ServerSideSession, SessionQuery
from mongostore.testing.factories import a_session

HOUR = timedelta(hours=1)

Result = QueryResult[ServerSideSession]


def keys(page: Result) -> list[str]:
    """The keys of a page, in its order."""
    return [session.key for session in page.results]


class SessionPagingContract:
    """Pages of sessions."""

    async def test_nothing_gives_an_empty_page(self, store: Any) -> None:
        """Without sessions there is one empty page without a token, and all totals are 0."""
        for query in (None, SessionQuery(), SessionQuery(display_name="x"), SessionQuery(subject_id="a\0")):
            assert await store.server_side_sessions.query_sessions(query) == QueryResult(
                total_count=0, total_pages=0, current_page=0
            )

    async def test_without_a_query_the_first_25_come(self, store: Any) -> None:
        """No query asks for the first page of everything, 25 sessions; so does a count of 0 or less."""
        await self._store(store, 30)
        for query in (None, SessionQuery(), SessionQuery(count_requested=0), SessionQuery(count_requested=-1)):
            page = await store.server_side_sessions.query_sessions(query)
            assert (len(page.results), page.has_prev_results, page.has_next_results) == (25, False, True)
            assert (page.total_count, page.total_pages, page.current_page) == (30, 2, 1)

    async def test_sessions_come_back_with_every_field(self, store: Any) -> None:
        """A page holds whole sessions, tickets included."""
        session = a_session()
        await store.server_side_sessions.create_session(session)
        page = await store.server_side_sessions.query_sessions()
        assert page.results == [session]
        assert (page.has_prev_results, page.has_next_results) == (False, False)
        assert (page.total_count, page.total_pages, page.current_page) == (1, 1, 1)

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 10, 11])
    async def test_forward_and_back_meet_every_session_once(self, store: Any, size: int) -> None:
        """With any page size, all pages forward hold every session once, and the pages back are the same."""
        await self._store(store, 10)
        forward = await self._walk(store, size)
        assert len([key for page in forward for key in keys(page)]) == 10
        assert {key for page in forward for key in keys(page)} == {f"k{number}" for number in range(10)}
        assert len(forward) == -(-10 // size)
        for number, page in enumerate(forward, 1):
            assert page.has_prev_results == (number > 1)
            assert page.has_next_results == (number < len(forward))
            assert (page.total_count, page.total_pages, page.current_page) == (10, len(forward), number)
        back = [forward[-1]]
        while back[-1].has_prev_results:
            back.append(await self._turn(store, back[-1], size, back=True))
        assert [keys(page) for page in back[:-1]] == [keys(page) for page in forward[:0:-1]]
        assert keys(back[-1]) == keys(forward[0])
        assert [page.current_page for page in back] == list(range(len(forward), 0, -1))
        assert not back[-1].has_prev_results

    async def test_back_then_forward_is_where_one_was(self, store: Any) -> None:
        """A token serves both directions: one page back and one forward is the same page."""
        await self._store(store, 9)
        pages = await self._walk(store, 3)
        back = await self._turn(store, pages[2], 3, back=True)
        assert keys(back) == keys(pages[1])
        assert keys(await self._turn(store, back, 3)) == keys(pages[2])

    async def test_a_token_can_be_used_again(self, store: Any) -> None:
        """Asking twice for the same page gives it twice."""
        await self._store(store, 6)
        first = await self._first(store, 2)
        assert keys(await self._turn(store, first, 2)) == keys(await self._turn(store, first, 2))

    async def test_the_order_is_by_folded_name_and_stable(self, store: Any) -> None:
        """Names are ordered case-folded, by code point; no name comes first; equal names keep one order."""
        names = ["bob", "Bob", "BOB", "alice", None, "", "Ärger", "zoë", "straße", "STRASSE", "😀", "\uffff", "a b"]
        for number, name in enumerate(names):
            await store.server_side_sessions.create_session(a_session(f"k{number}", display_name=name))
        pages = await self._walk(store, 2)
        order = [session for page in pages for session in page.results]
        folded = [(session.display_name or "").casefold() for session in order]
        assert folded == sorted(folded)
        assert keys(await self._first(store, 100)) == [session.key for session in order]

    async def test_deletions_shift_nothing(self, store: Any) -> None:
        """Sessions that are deleted between pages, edges included, make no page skip or repeat another session."""
        await self._store(store, 12)
        order = keys(await self._first(store, 100))
        first = await self._first(store, 3)
        for key in (order[0], order[2], order[3], order[4]):
            await store.server_side_sessions.delete_session(key)
        second = await self._turn(store, first, 3)
        assert keys(second) == order[5:8]
        assert (second.has_prev_results, second.has_next_results) == (True, True)
        third = await self._turn(store, second, 3)
        assert keys(third) == order[8:11]
        await store.server_side_sessions.delete_session(order[8])
        assert keys(await self._turn(store, third, 3, back=True)) == order[5:8]

    async def test_a_short_page_in_front_becomes_the_first_page(self, store: Any) -> None:
        """When deletions left less than a page in front, going back gives the whole first page."""
        await self._store(store, 9)
        order = keys(await self._first(store, 100))
        second = await self._turn(store, await self._first(store, 3), 3)
        await store.server_side_sessions.delete_session(order[1])
        back = await self._turn(store, second, 3, back=True)
        assert keys(back) == [order[0], *order[2:4]]
        assert (back.has_prev_results, back.has_next_results, back.current_page) == (False, True, 1)
        assert keys(await self._turn(store, back, 3)) == order[4:7]
        for key in order[:3]:
            await store.server_side_sessions.delete_session(key)
        assert keys(await self._turn(store, second, 3, back=True)) == order[3:6]

    async def test_behind_the_last_page_is_nothing_but_the_way_back(self, store: Any) -> None:
        """When everything behind a page was deleted, the next page is empty, and one can go back from it."""
        await self._store(store, 6)
        order = keys(await self._first(store, 100))
        first = await self._first(store, 3)
        for key in order[3:]:
            await store.server_side_sessions.delete_session(key)
        empty = await self._turn(store, first, 3)
        assert (keys(empty), empty.has_prev_results, empty.has_next_results) == ([], True, False)
        assert keys(await self._turn(store, empty, 3, back=True)) == order[:3]
        assert keys(await self._turn(store, empty, 3)) == []
        single = await self._turn(store, await self._turn(store, await self._first(store, 1), 1), 1)
        for key in order[1:3]:
            await store.server_side_sessions.delete_session(key)
        empty = await self._turn(store, single, 1)
        assert (keys(empty), empty.has_prev_results) == ([], True)
        empty = await self._turn(store, await self._first(store, 1), 1)
        assert (keys(empty), empty.has_prev_results, empty.has_next_results) == ([], True, False)
        await store.server_side_sessions.delete_session(order[0])
        gone = await self._turn(store, empty, 3)
        assert gone == QueryResult(total_count=0, total_pages=0, current_page=0)

    async def test_what_is_added_in_front_shifts_nothing(self, store: Any) -> None:
        """A session that begins between pages appears where it belongs, and no page repeats because of it."""
        await self._store(store, 6)
        order = keys(await self._first(store, 100))
        first = await self._first(store, 3)
        await store.server_side_sessions.create_session(a_session("new", display_name=None))
        second = await self._turn(store, first, 3)
        assert keys(second) == order[3:]
        assert not second.has_next_results
        back = await self._turn(store, second, 3, back=True)
        assert keys(back) == order[:3]
        assert back.has_prev_results
        assert keys(await self._turn(store, back, 3, back=True)) == ["new", *order[:2]]

    async def test_a_change_of_the_page_size_keeps_the_place(self, store: Any) -> None:
        """The token knows a place, not a number: the next page may be larger, and its number is then unknown."""
        await self._store(store, 9)
        order = keys(await self._first(store, 100))
        second = await self._turn(store, await self._first(store, 2), 4)
        assert keys(second) == order[2:6]
        assert (second.current_page, second.total_pages) == (None, 3)

    @pytest.mark.parametrize("token", ["", "x", "1,3", "Zm9v", "😀", "A" * 200, "ÿ" * 5, "\ud800", "=", "a" * 100_000])
    @pytest.mark.parametrize("back", [False, True])
    async def test_a_malformed_token_gives_the_first_page(self, store: Any, token: str, back: bool) -> None:
        """What is no token asks for the first page, in either direction."""
        await self._store(store, 5)
        first = await self._first(store, 2)
        query = SessionQuery(count_requested=2, results_token=token, request_prior_results=back)
        assert keys(await store.server_side_sessions.query_sessions(query)) == keys(first)

    async def test_an_altered_token_gives_the_first_page(self, store: Any) -> None:
        """No character of a token can be changed."""
        await self._store(store, 6)
        first = await self._first(store, 2)
        token = first.results_token or ""
        for place in range(0, len(token) - 1, 7):
            altered = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
            query = SessionQuery(count_requested=2, results_token=altered)
            assert keys(await store.server_side_sessions.query_sessions(query)) == keys(first)

    @pytest.mark.parametrize(
        "other",
        [{"subject_id": "bob"}, {"session_id": "s1"}, {"display_name": "a"}, {"match": "substring"}, {}],
        ids=lambda fields: "-".join(fields) or "none",
    )
    async def test_a_token_of_another_filter_gives_the_first_page(self, store: Any, other: dict[str, Any]) -> None:
        """A token continues the query that it came from, and no other."""
        for number in range(6):
            await store.server_side_sessions.create_session(
                a_session(subject_id="ab"[number % 2] + "ob", display_name=f"a{number}")
            )
        one = await store.server_side_sessions.query_sessions(SessionQuery(subject_id="aob", count_requested=1))
        query = SessionQuery(**{"subject_id": "aob", **other} if other else {}, count_requested=1)
        fresh = await store.server_side_sessions.query_sessions(query)
        foreign = query.model_copy(update={"results_token": one.results_token})
        assert keys(await store.server_side_sessions.query_sessions(foreign)) == keys(fresh)

    async def test_a_token_is_opaque(self, store: Any) -> None:
        """Nothing of the sessions can be read in a token, and two tokens of one page differ."""
        await store.server_side_sessions.create_session(a_session("secretkey", display_name="Alice"))
        tokens = {(await store.server_side_sessions.query_sessions()).results_token for _ in range(2)}
        assert len(tokens) == 2
        assert all(token.isascii() and "alice" not in token.lower() and "secret" not in token for token in tokens)

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({"display_name": "an"}, {"anna", "ANNETTE"}),
            ({"display_name": "ANN"}, {"anna", "ANNETTE"}),
            ({"display_name": "annette"}, {"ANNETTE"}),
            ({"display_name": "nna"}, set()),
            ({"display_name": "."}, set()),
            ({"display_name": "strass"}, {"Straße 1"}),
            ({"display_name": "a.c"}, {"a.c$"}),
            ({"display_name": "\U0010ffff"}, {"\U0010ffffx"}),
            ({"display_name": "\ud7ff"}, {"\ud7ff!"}),
            ({"display_name": "\ud800"}, set()),
            ({"display_name": "x" * 5_000}, set()),
            ({"subject_id": "subject of anna"}, {"anna"}),
            ({"subject_id": "subject of"}, set()),
            ({"session_id": "session of anna"}, {"anna"}),
            ({"subject_id": "subject of anna", "session_id": "session of anna", "display_name": "A"}, {"anna"}),
            ({"subject_id": "subject of anna", "display_name": "b"}, set()),
            ({"subject_id": "subject of anna", "session_id": "session of Bob"}, set()),
            ({"subject_id": "x" * 1_001}, set()),
            ({"display_name": "nn", "match": "substring"}, {"anna", "ANNETTE"}),
            ({"display_name": ".c$", "match": "substring"}, {"a.c$"}),
            ({"display_name": "e\0f", "match": "substring"}, {"d e\0f"}),
            ({"display_name": "(", "match": "substring"}, {"(("}),
            ({"subject_id": "of an", "match": "substring"}, {"anna"}),
            ({"session_id": "ion of AN", "match": "substring"}, {"ANNETTE"}),
            ({"session_id": "ion of AN", "display_name": "zz", "match": "substring"}, set()),
        ],
    )
    async def test_a_filter_matches_as_it_says(self, store: Any, wanted: dict[str, Any], expected: set[str]) -> None:
        """Ids match exactly and names by case-folded prefix; with `match="substring"`, each matches anywhere."""
        names = ["anna", "ANNETTE", "Bob", "Straße 1", "a.c$", "abc", "d e\0f", "((", "\U0010ffffx", "\ud7ff!"]
        for name in names:
            subject, session = f"subject of {name.replace(chr(0), '')}", f"session of {name.replace(chr(0), '')}"
            await store.server_side_sessions.create_session(
                a_session(display_name=name, subject_id=subject, session_id=session)
            )
        await store.server_side_sessions.create_session(a_session(display_name=None))
        query = SessionQuery(**wanted)
        page = await store.server_side_sessions.query_sessions(query)
        assert {session.display_name for session in page.results} == expected
        in_steps = [session.display_name for page in await self._walk(store, 1, **wanted) for session in page.results]
        assert in_steps == [session.display_name for session in page.results]
        if query.match == "prefix":
            assert page.total_count == len(expected)
        elif expected:
            assert page.total_count is None

    async def test_expired_sessions_are_in_no_page_and_no_total(self, store: Any) -> None:
        """Expiry counts at the time of the query, on every page."""
        for number in range(9):
            expires = store.clock.now() + (HOUR if number % 3 else 2 * HOUR)
            await store.server_side_sessions.create_session(a_session(f"k{number}", expires=expires))
        first = await self._first(store, 3)
        store.clock.advance(HOUR)
        assert {key for page in await self._walk(store, 2) for key in keys(page)} == {"k0", "k3", "k6"}
        page = await self._first(store, 10)
        assert (page.total_count, page.has_next_results) == (3, False)
        assert set(keys(await self._turn(store, first, 10))) <= {"k0", "k3", "k6"}

    async def test_a_page_has_at_most_a_thousand_sessions(self, store: Any) -> None:
        """More than 1,000 sessions are never decrypted at once."""
        await asyncio.gather(
            *(store.server_side_sessions.create_session(a_session(f"k{number}")) for number in range(1_001))
        )
        page = await self._first(store, 1_000_000_000)
        assert (len(page.results), page.has_next_results, page.total_count) == (1_000, True, 1_001)
        assert len((await self._turn(store, page, 1_000_000_000)).results) == 1

    async def test_something_else_than_a_query_is_refused(self, store: Any) -> None:
        """Wrong types are TypeErrors."""
        for wrong in ("query", {"subject_id": "alice"}, 25):
            with pytest.raises(TypeError, match="SessionQuery"):
                await store.server_side_sessions.query_sessions(wrong)

    async def _store(self, store: Any, count: int) -> None:
        """Sessions k0, k1, … with four names among them."""
        sessions = [a_session(f"k{number}", display_name=f"Name {number % 4}") for number in range(count)]
        await asyncio.gather(*(store.server_side_sessions.create_session(session) for session in sessions))

    async def _first(self, store: Any, size: int) -> Result:
        page: Result = await store.server_side_sessions.query_sessions(SessionQuery(count_requested=size))
        return page

    async def _turn(self, store: Any, page: Result, size: int, *, back: bool = False) -> Result:
        query = SessionQuery(results_token=page.results_token, count_requested=size, request_prior_results=back)
        turned: Result = await store.server_side_sessions.query_sessions(query)
        return turned

    async def _walk(self, store: Any, size: int, **wanted: Any) -> list[Result]:
        """All pages, forward."""
        query = SessionQuery(count_requested=size, **wanted)
        pages: list[Result] = [await store.server_side_sessions.query_sessions(query)]
        while pages[-1].has_next_results:
            query = query.model_copy(update={"results_token": pages[-1].results_token})
            pages.append(await store.server_side_sessions.query_sessions(query))
        assert all(page.has_prev_results for _, page in pairwise(pages))
        return pages
