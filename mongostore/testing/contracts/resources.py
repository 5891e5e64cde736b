"""What every `ResourceStore` does.

Subclass with a fixture `store`: an open, empty store.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from mongostore.errors import AlreadyExists, InvalidModel, StaleRevision
from mongostore.models import ApiScope, IdentityResource, Resources, Secret
from mongostore.models.resources import Resource
from mongostore.testing.contracts.filled_models import (
    IMPOSSIBLE_NAMES,
    ODD_NAMES,
    a_filled_api_resource,
    a_filled_api_scope,
    a_filled_identity_resource,
    an_api_resource,
    an_identity_resource,
    with_nulls,
)

SAVERS = 20

Make = Callable[..., Resource]

KINDS: dict[str, tuple[str, Make, Make]] = {
    "identity_resource": ("find_identity_resources_by_scope_name", an_identity_resource, a_filled_identity_resource),
    "api_scope": ("find_api_scopes_by_name", lambda name, **given: ApiScope(name=name, **given), a_filled_api_scope),
    "api_resource": ("find_api_resources_by_name", an_api_resource, a_filled_api_resource),
}
FINDERS = [
    *(find for find, _, _ in KINDS.values()),
    "find_api_resources_by_scope_name",
    "find_resources_by_scope",
    "find_enabled_resources_by_scope",
]

every_kind = pytest.mark.parametrize("kind", KINDS)


def names(resources: Iterable[Resource]) -> list[str]:
    """The names of some resources, in ascending order."""
    return sorted(resource.name for resource in resources)


def summary(resources: Resources) -> tuple[list[str], list[str], list[str], bool]:
    """The names of identity resources, API resources and API scopes, and the flag."""
    return (
        names(resources.identity_resources),
        names(resources.api_resources),
        names(resources.api_scopes),
        resources.offline_access,
    )


class Kind:
    """The methods of one kind of resource."""

    def __init__(self, store: Any, kind: str) -> None:
        find, self.make, self.make_filled = KINDS[kind]
        self.find = getattr(store.resources, find)
        self.save = getattr(store.resources, f"save_{kind}")
        self.delete = getattr(store.resources, f"delete_{kind}")

    async def one(self, name: str) -> Any:
        """The resource of this name."""
        (found,) = await self.find([name])
        return found


async def fill(store: Any) -> None:
    """Save some of everything: `off*` disabled, `hidden` not in discovery."""
    await store.resources.save_identity_resource(an_identity_resource("profile"))
    await store.resources.save_identity_resource(an_identity_resource("off", enabled=False))
    await store.resources.save_api_scope(ApiScope(name="read"))
    await store.resources.save_api_scope(ApiScope(name="write"))
    await store.resources.save_api_scope(ApiScope(name="off.read", enabled=False))
    await store.resources.save_api_scope(ApiScope(name="hidden", show_in_discovery_document=False))
    await store.resources.save_api_resource(an_api_resource("orders", scopes={"read", "write"}))
    await store.resources.save_api_resource(an_api_resource("bills", scopes={"read", "off.read"}))
    await store.resources.save_api_resource(an_api_resource("old", scopes={"read"}, enabled=False))
    await store.resources.save_api_resource(an_api_resource("alone"))


class ResourceStoreContract:
    """Finding, saving and deleting resources of the three kinds."""

    @every_kind
    async def test_every_property_comes_back(self, store: Any, kind: str) -> None:
        """A resource with no property at its default is read as it was saved, and so is one with None."""
        of_kind = Kind(store, kind)
        resource = of_kind.make_filled()
        for each in (resource, with_nulls(resource), of_kind.make(resource.name)):
            await of_kind.save(each)
            found = await of_kind.one(resource.name)
            assert type(found) is type(each)
            assert found.model_dump() == each.model_dump()

    async def test_a_resource_is_whole_however_it_is_found(self, store: Any) -> None:
        """By scope, for a request, and among all, resources have every property, as they have by name."""
        identity_resource, api_scope = a_filled_identity_resource("profile"), a_filled_api_scope("read")
        api_resource = a_filled_api_resource("orders", scopes={"read", "write"})
        await store.resources.save_identity_resource(identity_resource)
        await store.resources.save_api_scope(api_scope)
        await store.resources.save_api_resource(api_resource)
        (found,) = await store.resources.find_api_resources_by_scope_name(["read"])
        assert found.model_dump() == api_resource.model_dump()
        everything = Resources(
            identity_resources=[identity_resource], api_resources=[api_resource], api_scopes=[api_scope]
        )
        for all_three in (
            await store.resources.get_all_resources(),
            await store.resources.find_resources_by_scope(["profile", "read", "write"]),
        ):
            assert all_three.model_dump() == everything.model_dump()

    @every_kind
    async def test_only_what_was_asked_for_is_found(self, store: Any, kind: str) -> None:
        """Unknown names find nothing, duplicates find once, and any iterable of names will do."""
        of_kind = Kind(store, kind)
        for name in ("a", "b", "c"):
            await of_kind.save(of_kind.make(name))
        assert names(await of_kind.find(["a", "unknown", "c", "a"])) == ["a", "c"]
        assert names(await of_kind.find({"b"})) == ["b"]
        assert names(await of_kind.find(name for name in "ab")) == ["a", "b"]
        assert await of_kind.find(["unknown", "A"]) == []

    @every_kind
    async def test_disabled_and_hidden_resources_are_found(self, store: Any, kind: str) -> None:
        """Stores don't filter, except where the method says so."""
        of_kind = Kind(store, kind)
        await of_kind.save(of_kind.make("a", enabled=False, show_in_discovery_document=False))
        assert names(await of_kind.find(["a"])) == ["a"]

    @every_kind
    async def test_no_character_of_a_name_is_special(self, store: Any, kind: str) -> None:
        """Names are told apart byte for byte: case, blanks, separators and Unicode forms."""
        of_kind = Kind(store, kind)
        for name in ODD_NAMES:
            await of_kind.save(of_kind.make(name, display_name=f"display {name}"))
        for name in ODD_NAMES:
            assert (await of_kind.one(name)).display_name == f"display {name}"
        assert names(await of_kind.find(ODD_NAMES)) == sorted(ODD_NAMES)

    @pytest.mark.parametrize("find", FINDERS)
    async def test_impossible_names_find_nothing(self, store: Any, find: str) -> None:
        """What nothing can be called is left out, whatever it is; no names at all find nothing."""
        await fill(store)
        for wanted in ([], IMPOSSIBLE_NAMES):
            found = await getattr(store.resources, find)(wanted)
            assert found in ([], Resources())

    @pytest.mark.parametrize("find", FINDERS)
    @pytest.mark.parametrize("wanted", ["read", b"read", None, 7], ids=repr)
    async def test_names_are_several(self, store: Any, find: str, wanted: Any) -> None:
        """One text in place of a list of them, which would be searched letter by letter, is refused."""
        with pytest.raises(TypeError, match="names"):
            await getattr(store.resources, find)(wanted)

    @every_kind
    async def test_impossible_names_can_not_be_deleted(self, store: Any, kind: str) -> None:
        """Deleting what nothing can be called removes nothing."""
        await fill(store)
        for name in IMPOSSIBLE_NAMES:
            assert await Kind(store, kind).delete(name) is False

    async def test_api_resources_are_found_by_their_scopes(self, store: Any) -> None:
        """Every API resource with at least one of the scopes comes, once, disabled ones included, others don't."""
        await fill(store)
        find = store.resources.find_api_resources_by_scope_name
        assert names(await find(["read"])) == ["bills", "old", "orders"]
        assert names(await find(["write"])) == ["orders"]
        assert names(await find(["read", "write", "off.read"])) == ["bills", "old", "orders"]
        assert await find(["orders", "unknown", "READ"]) == []

    async def test_everything_is_everything(self, store: Any) -> None:
        """All resources come, disabled and hidden ones included, without offline access."""
        assert await store.resources.get_all_resources() == Resources()
        await fill(store)
        assert summary(await store.resources.get_all_resources()) == (
            ["off", "profile"],
            ["alone", "bills", "old", "orders"],
            ["hidden", "off.read", "read", "write"],
            False,
        )

    async def test_a_request_finds_all_that_it_is_about(self, store: Any) -> None:
        """Scopes of a request find identity resources, API scopes, and the APIs that serve them, disabled or not."""
        await fill(store)
        asked = ["profile", "off", "read", "off.read", "unknown", "orders"]
        assert summary(await store.resources.find_resources_by_scope(asked)) == (
            ["off", "profile"],
            ["bills", "old", "orders"],
            ["off.read", "read"],
            False,
        )

    async def test_a_request_can_be_for_what_is_enabled(self, store: Any) -> None:
        """Disabled resources of all three kinds are left out."""
        await fill(store)
        asked = ["profile", "off", "read", "off.read", "offline_access"]
        assert summary(await store.resources.find_enabled_resources_by_scope(asked)) == (
            ["profile"],
            ["bills", "orders"],
            ["read"],
            True,
        )

    async def test_offline_access_sets_the_flag(self, store: Any) -> None:
        """The scope that no resource stands for is understood, with and without others."""
        await fill(store)
        find = store.resources.find_resources_by_scope
        assert summary(await find(["offline_access"])) == ([], [], [], True)
        assert summary(await find(["write", "offline_access"])) == ([], ["orders"], ["write"], True)

    @every_kind
    async def test_saving_again_replaces_and_deleting_removes(self, store: Any, kind: str) -> None:
        """The second save takes the place of the first, what it lacks included; a deleted resource is gone."""
        of_kind = Kind(store, kind)
        filled = of_kind.make_filled()
        await of_kind.save(filled)
        await of_kind.save(of_kind.make(filled.name))
        await of_kind.save(of_kind.make("other"))
        assert (await of_kind.one(filled.name)).model_dump() == of_kind.make(filled.name).model_dump()
        assert await of_kind.delete(filled.name) is True
        assert await of_kind.delete(filled.name) is False
        assert names(await of_kind.find([filled.name, "other"])) == ["other"]

    async def test_a_scope_that_changed_no_longer_finds_its_api(self, store: Any) -> None:
        """An API resource is found by the scopes that it has now."""
        await fill(store)
        await store.resources.save_api_resource(an_api_resource("orders", scopes={"write"}))
        find = store.resources.find_api_resources_by_scope_name
        assert names(await find(["read"])) == ["bills", "old"]

    @every_kind
    async def test_revisions_are_those_of_clients(self, store: Any, kind: str) -> None:
        """0 must be new, n must be at n, and every save gives a larger revision, also after a deletion."""
        of_kind = Kind(store, kind)
        first = await of_kind.save(of_kind.make("a"), expected_revision=0)
        with pytest.raises(AlreadyExists):
            await of_kind.save(of_kind.make("a", display_name="new"), expected_revision=0)
        second = await of_kind.save(of_kind.make("a"), expected_revision=first)
        assert second > first > 0
        with pytest.raises(StaleRevision) as stale:
            await of_kind.save(of_kind.make("a", display_name="new"), expected_revision=first)
        assert (stale.value.expected, stale.value.actual) == (first, second)
        with pytest.raises(TypeError, match="expected_revision"):
            await of_kind.save(of_kind.make("a", display_name="new"), expected_revision=True)
        assert (await of_kind.one("a")).display_name is None
        await of_kind.delete("a")
        with pytest.raises(StaleRevision):
            await of_kind.save(of_kind.make("a"), expected_revision=second)
        assert await of_kind.save(of_kind.make("a"), expected_revision=0) > second

    @every_kind
    async def test_one_of_many_replaces_a_revision(self, store: Any, kind: str) -> None:
        """Of concurrent savers over one revision, one succeeds."""
        of_kind = Kind(store, kind)
        revision = await of_kind.save(of_kind.make("a"))
        results = await asyncio.gather(
            *(
                of_kind.save(of_kind.make("a", display_name=str(number)), expected_revision=revision)
                for number in range(SAVERS)
            ),
            return_exceptions=True,
        )
        (winner,) = [number for number, result in enumerate(results) if isinstance(result, int)]
        assert sum(isinstance(result, StaleRevision) for result in results) == SAVERS - 1
        assert (await of_kind.one("a")).display_name == str(winner)

    @pytest.mark.parametrize("expected_revision", [None, 0, "its own"])
    @pytest.mark.parametrize(
        ("taken_by", "wanted_by"), [("identity_resource", "api_scope"), ("api_scope", "identity_resource")]
    )
    async def test_scopes_share_one_name_space(
        self, store: Any, taken_by: str, wanted_by: str, expected_revision: Any
    ) -> None:
        """A name that an identity resource has is none for an API scope, and the reverse, whatever is expected."""
        holder, other = Kind(store, taken_by), Kind(store, wanted_by)
        revision = await holder.save(holder.make("a"))
        expected = revision if expected_revision == "its own" else expected_revision
        with pytest.raises(AlreadyExists, match="'a'"):
            await other.save(other.make("a"), expected_revision=expected)
        assert await other.find(["a"]) == []
        assert await other.delete("a") is False
        assert (await holder.one("a")).model_dump() == holder.make("a").model_dump()
        await holder.delete("a")
        assert await other.save(other.make("a"), expected_revision=0) > revision

    async def test_of_two_kinds_at_once_one_gets_the_name(self, store: Any) -> None:
        """Concurrent saves of a name as both kinds leave it to one of them."""
        identity_resource, api_scope = Kind(store, "identity_resource"), Kind(store, "api_scope")
        results = await asyncio.gather(
            *(each.save(each.make("a")) for _ in range(10) for each in (identity_resource, api_scope)),
            return_exceptions=True,
        )
        assert len(await identity_resource.find(["a"])) + len(await api_scope.find(["a"])) == 1
        assert sum(isinstance(result, AlreadyExists) for result in results) == 10
        assert sum(isinstance(result, int) for result in results) == 10

    async def test_an_api_resource_may_have_a_scopes_name(self, store: Any) -> None:
        """API resources have a name space of their own."""
        for kind in ("identity_resource", "api_resource"):
            await Kind(store, kind).save(Kind(store, kind).make("a"), expected_revision=0)

    @every_kind
    @pytest.mark.parametrize(
        "resource", [None, "a", {"name": "a"}, Secret.sha256("a")], ids=lambda value: type(value).__name__
    )
    async def test_something_else_is_refused(self, store: Any, kind: str, resource: Any) -> None:
        """Only a resource of the kind can be saved as one."""
        with pytest.raises(TypeError, match="must be a"):
            await Kind(store, kind).save(resource)

    async def test_a_resource_of_another_kind_is_refused(self, store: Any) -> None:
        """An API scope is no identity resource, although it looks like one."""
        with pytest.raises(TypeError, match="IdentityResource"):
            await store.resources.save_identity_resource(ApiScope(name="a"))

    @every_kind
    @pytest.mark.parametrize(
        "changes",
        [
            {"name": ""},
            {"name": "a\0"},
            {"name": "x" * 1_001},
            {"enabled": None},
            {"user_claims": "name"},
            {"properties": {"a": 1}},
            {"display_name": "\ud800"},
        ],
        ids=lambda value: ascii(value)[:40],
    )
    async def test_what_bypassed_the_model_is_refused(self, store: Any, kind: str, changes: dict[str, Any]) -> None:
        """`model_copy` checks nothing, so saving does; the message names the property."""
        of_kind = Kind(store, kind)
        with pytest.raises(InvalidModel, match=next(iter(changes))):
            await of_kind.save(of_kind.make("a").model_copy(update=changes))
        assert await store.resources.get_all_resources() == Resources()

    async def test_all_broken_rules_are_told_at_once(self, store: Any) -> None:
        """Each kind's rules are kept; secrets are not repeated."""
        with pytest.raises(InvalidModel, match="user_claims"):
            await store.resources.save_identity_resource(IdentityResource(name="a"))
        resource = an_api_resource("a", scopes={""}, user_claims={" "}, api_secrets={Secret(value="hunter2")})
        with pytest.raises(InvalidModel) as invalid:
            await store.resources.save_api_resource(resource)
        assert len(invalid.value.problems) == 3
        assert "Secret.sha256" in str(invalid.value)
        assert "hunter2" not in str(invalid.value)
        assert await store.resources.get_all_resources() == Resources()

    @every_kind
    async def test_what_a_caller_does_to_its_copy_changes_nothing(self, store: Any, kind: str) -> None:
        """Neither the model that was saved nor one that was read is the stored resource."""
        of_kind = Kind(store, kind)
        resource = of_kind.make("a", properties={"a": "1"})
        await of_kind.save(resource)
        resource.properties["a"] = "2"
        (await of_kind.one("a")).properties["a"] = "3"
        assert (await of_kind.one("a")).properties == {"a": "1"}
