"""What every store of configuration does with revisions: reads them with their values, deletes by them.

Subclass with a fixture `store`: an open, empty store.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mongostore.errors import StaleRevision
from mongostore.models import ApiScope
from mongostore.stores import Revised
from mongostore.testing.contracts.filled_models import (
    IMPOSSIBLE_NAMES,
    ODD_NAMES,
    a_filled_api_resource,
    a_filled_api_scope,
    a_filled_client,
    a_filled_identity_resource,
    an_api_resource,
    an_identity_resource,
    an_oidc_provider,
)
from mongostore.testing.factories import a_client

# Of each kind: the attribute, a small value of a name, and one with every property set.
KINDS: dict[str, tuple[str, Callable[..., Any], Callable[[str], Any]]] = {
    "client": ("clients", a_client, a_filled_client),
    "identity_resource": ("resources", an_identity_resource, a_filled_identity_resource),
    "api_scope": ("resources", lambda name, **given: ApiScope(name=name, **given), a_filled_api_scope),
    "api_resource": ("resources", an_api_resource, a_filled_api_resource),
    "identity_provider": ("identity_providers", an_oidc_provider, an_oidc_provider),
}
IMPOSSIBLE_REVISIONS: list[Any] = [0, -1, True, False, "1", 1.0, 2**63]

every_kind = pytest.mark.parametrize("kind", KINDS)


class Kind:
    """The methods of one kind."""

    def __init__(self, store: Any, kind: str) -> None:
        attribute, self.make, self.make_filled = KINDS[kind]
        methods = getattr(store, attribute)
        self.save = getattr(methods, f"save_{kind}")
        self.read = getattr(methods, f"read_{kind}")
        self.delete = getattr(methods, f"delete_{kind}")


class RevisionContract:
    """Reading and deleting under revisions, alike for the five kinds of configuration."""

    @every_kind
    async def test_a_value_is_read_with_its_revision(self, store: Any, kind: str) -> None:
        """Both belong together, and are what is needed to save over what was read and nothing else."""
        of_kind = Kind(store, kind)
        filled = of_kind.make_filled("a")
        revision = await of_kind.save(filled)
        read = await of_kind.read("a")
        assert (type(read), type(read.value)) == (Revised, type(filled))
        assert (read.value.model_dump(), read.revision) == (filled.model_dump(), revision)
        changed = read.value.model_copy(update={"enabled": not filled.enabled})
        saved = await of_kind.save(changed, expected_revision=read.revision)
        again = await of_kind.read("a")
        assert (again.value.model_dump(), again.revision) == (changed.model_dump(), saved)

    @every_kind
    async def test_what_is_not_there_is_none(self, store: Any, kind: str) -> None:
        """What was never saved, or was deleted, has neither value nor revision; names are told apart byte for byte."""
        of_kind = Kind(store, kind)
        assert await of_kind.read("a") is None
        await of_kind.save(of_kind.make("a"))
        assert [await of_kind.read(name) for name in ODD_NAMES if name != "a"] == [None] * (len(ODD_NAMES) - 1)
        assert await of_kind.delete("a") is True
        assert await of_kind.read("a") is None

    @every_kind
    async def test_an_impossible_name_is_absent(self, store: Any, kind: str) -> None:
        """What nothing can be called is not read and not deleted, whatever it is."""
        of_kind = Kind(store, kind)
        for name in IMPOSSIBLE_NAMES:
            assert await of_kind.read(name) is None
            assert await of_kind.delete(name) is False
            assert await of_kind.delete(name, expected_revision=1) is False

    @every_kind
    async def test_a_revision_is_deleted_and_no_other(self, store: Any, kind: str) -> None:
        """Who has not seen the latest save deletes nothing, and learns both revisions; what is gone is gone."""
        of_kind = Kind(store, kind)
        first = await of_kind.save(of_kind.make("a"))
        second = await of_kind.save(of_kind.make("a"))
        for expected in (first, second + 1):
            with pytest.raises(StaleRevision, match="'a'") as stale:
                await of_kind.delete("a", expected_revision=expected)
            assert (stale.value.expected, stale.value.actual) == (expected, second)
        assert (await of_kind.read("a")).revision == second
        assert await of_kind.delete("a", expected_revision=second) is True
        assert await of_kind.delete("a", expected_revision=second) is False

    @every_kind
    async def test_an_impossible_revision_is_not_deleted(self, store: Any, kind: str) -> None:
        """What nothing stored can be at, 0 included, is an error of the caller; nothing is deleted."""
        of_kind = Kind(store, kind)
        revision = await of_kind.save(of_kind.make("a"))
        for impossible in IMPOSSIBLE_REVISIONS:
            with pytest.raises((TypeError, ValueError), match="expected_revision"):
                await of_kind.delete("a", expected_revision=impossible)
        assert (await of_kind.read("a")).revision == revision

    @every_kind
    async def test_what_is_saved_meanwhile_is_not_deleted(self, store: Any, kind: str) -> None:
        """A deletion of a revision takes no later save with it, though both happen at once."""
        of_kind = Kind(store, kind)
        for _ in range(10):
            revision = await of_kind.save(of_kind.make("a"))
            saved, *_ = results = await asyncio.gather(
                of_kind.save(of_kind.make("a")),
                of_kind.delete("a", expected_revision=revision),
                return_exceptions=True,
            )
            assert results[1] is True or isinstance(results[1], StaleRevision)
            assert (await of_kind.read("a")).revision == saved

    @pytest.mark.parametrize(
        ("kind", "other"), [("identity_resource", "api_scope"), ("api_scope", "identity_resource")]
    )
    async def test_a_scope_of_the_other_kind_is_absent(self, store: Any, kind: str, other: str) -> None:
        """It is neither read nor deleted by the other kind's methods, under its revision either."""
        holder, asking = Kind(store, kind), Kind(store, other)
        revision = await holder.save(holder.make("a"))
        assert await asking.read("a") is None
        assert await asking.delete("a", expected_revision=revision) is False
        assert (await holder.read("a")).revision == revision

    async def test_a_read_value_shows_no_secret(self, store: Any) -> None:
        """A provider's secret is in no repr."""
        await store.identity_providers.save_identity_provider(an_oidc_provider())
        assert "hunter2" not in repr(await store.identity_providers.read_identity_provider("acme"))
