"""Pages of results."""

from typing import Generic, TypeVar

from pydantic import Field

from mongostore.models.base import Model

T = TypeVar("T")


class QueryResult(Model, Generic[T]):
    """One page. The token asks for the next page or the one before; totals are None where counting would cost."""

    results_token: str | None = Field(default=None, repr=False)
    has_prev_results: bool = False
    has_next_results: bool = False
    total_count: int | None = None
    total_pages: int | None = None
    current_page: int | None = None
    results: list[T] = Field(default_factory=list)
