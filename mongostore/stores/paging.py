"""Pages of a list in one order, each found from the edges of another: what lies before it costs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from mongostore.models import QueryResult

T = TypeVar("T")
R = TypeVar("R")

# A total is counted up to here, so that its cost is bounded.
MAX_TOTAL = 10_000

Position = tuple[str, str]
"""Where an item stands: what the list is ordered by, and an id that settles ties."""


class Ordered(Protocol[T]):
    """A list in one order."""

    async def after(self, position: Position | None, limit: int) -> list[T]:
        """The first items behind a position, or of all."""

    async def before(self, position: Position, limit: int) -> list[T]:
        """The last items in front of a position, the last one first."""

    async def count(self, limit: int) -> int | None:
        """How many items there are, counted up to `limit`; None when counting would cost too much."""

    def position(self, item: T) -> Position:
        """Where an item stands."""


@dataclass(frozen=True, slots=True)
class PageEdges:
    """What is remembered of a page.

    Attributes:
        first, last: the positions of its first and last item.
        number: which page it is, counted from 1; None: not known.
        size: how many items were asked for.
    """

    first: Position
    last: Position
    number: int | None
    size: int


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page, as `QueryResult` describes it."""

    items: Sequence[T]
    edges: PageEdges | None
    has_prev: bool
    has_next: bool
    number: int | None
    total: int | None = None
    total_pages: int | None = None

    def result(self, results: list[R], token: str | None) -> QueryResult[R]:
        """What the caller gets.

        Args:
            results: the items, as they are shown.
            token: to go on from here.
        """
        return QueryResult(
            results_token=token,
            has_prev_results=self.has_prev,
            has_next_results=self.has_next,
            total_count=self.total,
            total_pages=self.total_pages,
            current_page=self.number,
            results=results,
        )


async def read_page(items: Ordered[T], from_page: PageEdges | None, size: int, *, backward: bool) -> Page[T]:
    """Read the page behind another one, or in front of it; the first without one.

    Items that were added or removed meanwhile shift nothing: pages hang on positions. A page in front that would be cut
    short, because items were removed, is the first page instead.

    Args:
        items: the list.
        from_page: the page to go on from.
        size: how many items.
        backward: go to the page in front.
    """
    page: Page[T] | None = None
    if from_page is not None:
        page = await (_read_backward if backward else _read_forward)(items, from_page, size)
    if page is None:
        page = await _read_first(items, size)
    total = await items.count(MAX_TOTAL + 1)
    if total is None or total > MAX_TOTAL:
        return page
    total_pages = -(-total // size)
    number = 0 if total == 0 else page.number
    return replace(page, total=total, total_pages=total_pages, number=number)


async def _read_first(items: Ordered[T], size: int) -> Page[T]:
    found = await items.after(None, size + 1)
    return _page(items, found[:size], size, 1, has_prev=False, has_next=len(found) > size)


async def _read_forward(items: Ordered[T], from_page: PageEdges, size: int) -> Page[T]:
    found = await items.after(from_page.last, size + 1)
    # No id lies between one and the same with a NUL behind it: so what stands at the last position is in front.
    name, id_ = from_page.last
    end = (name, id_ + "\0")
    has_prev = bool(await items.before(items.position(found[0]) if found else end, 1))
    number = from_page.number + 1 if from_page.number and from_page.size == size else None
    page = _page(items, found[:size], size, number, has_prev=has_prev, has_next=len(found) > size)
    if not found and has_prev:
        # Everything behind was removed: from this empty page, one can still go back.
        return replace(page, edges=PageEdges(end, from_page.last, page.number, size))
    return page


async def _read_backward(items: Ordered[T], from_page: PageEdges, size: int) -> Page[T] | None:
    found = await items.before(from_page.first, size + 1)
    if len(found) < size:
        return None
    has_prev = len(found) > size
    found = found[:size][::-1]
    has_next = bool(await items.after(items.position(found[-1]), 1))
    number = max(2, from_page.number - 1) if from_page.number and from_page.size == size else None
    return _page(items, found, size, number, has_prev=has_prev, has_next=has_next)


def _page(
    items: Ordered[T], found: Sequence[T], size: int, number: int | None, *, has_prev: bool, has_next: bool
) -> Page[T]:
    if not has_prev:
        number = 1
    edges = PageEdges(items.position(found[0]), items.position(found[-1]), number, size) if found else None
    return Page(found, edges, has_prev, has_next, number)
