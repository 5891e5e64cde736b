"""What every `ClientStore` does.

Subclass with a fixture `store`: an open, empty store.
"""

import asyncio
from typing import Any

import pytest

from mongostore.errors import AlreadyExists, InvalidModel, StaleRevision
from mongostore.models import ApiScope, Client, Secret
from mongostore.testing.contracts.filled_models import (
    IMPOSSIBLE_NAMES,
    ODD_NAMES,
    PROPERTIES,
    a_filled_client,
    with_nulls,
)
from mongostore.testing.factories import a_client

SAVERS = 20
MORE_THAN_A_BATCH = 205
IMPOSSIBLE_REVISIONS: list[Any] = [-1, True, False, "1", 1.0, 2**63]


class ClientStoreContract:
    """Finding, listing, saving and deleting clients."""

    async def test_an_unknown_client_is_none(self, store: Any) -> None:
        """There is no client where none was saved."""
        assert await store.clients.find_client_by_id("web") is None
        assert await store.clients.find_enabled_client_by_id("web") is None
        assert await store.clients.get_client_revision("web") is None
        assert await store.clients.delete_client("web") is False

    async def test_every_property_comes_back(self, store: Any) -> None:
        """A client with no property at its default is read as it was saved, secrets' descriptions included."""
        client = a_filled_client()
        await store.clients.save_client(client)
        found = await store.clients.find_client_by_id("web")
        assert type(found) is Client
        assert found.model_dump() == client.model_dump()

    async def test_none_comes_back_as_none(self, store: Any) -> None:
        """A property that was set to None is None, also where the default is something else."""
        client = with_nulls(a_filled_client())
        assert client.client_claims_prefix is None
        await store.clients.save_client(client)
        assert (await store.clients.find_client_by_id("web")).model_dump() == client.model_dump()

    async def test_defaults_come_back(self, store: Any) -> None:
        """A client with little more than its id is read with the defaults."""
        await store.clients.save_client(a_client())
        assert (await store.clients.find_client_by_id("web")).model_dump() == a_client().model_dump()

    async def test_names_of_properties_may_be_anything(self, store: Any) -> None:
        """Dots, dollars, blanks and any script survive in a property's name and value."""
        await store.clients.save_client(a_client(properties=PROPERTIES | {"empty": ""}))
        assert (await store.clients.find_client_by_id("web")).properties == PROPERTIES | {"empty": ""}

    async def test_no_character_of_an_id_is_special(self, store: Any) -> None:
        """Ids are told apart byte for byte: case, blanks, separators and Unicode forms."""
        for client_id in ODD_NAMES:
            await store.clients.save_client(a_client(client_id, client_name=f"name of {client_id}"))
        for client_id in ODD_NAMES:
            found = await store.clients.find_client_by_id(client_id)
            assert (found.client_id, found.client_name) == (client_id, f"name of {client_id}")
        assert [client.client_id async for client in store.clients.get_all_clients()] == sorted(ODD_NAMES)

    @pytest.mark.parametrize("client_id", IMPOSSIBLE_NAMES, ids=ascii)
    async def test_an_impossible_id_finds_nothing(self, store: Any, client_id: Any) -> None:
        """What no client can be called is absent, whatever it is."""
        await store.clients.save_client(a_client())
        assert await store.clients.find_client_by_id(client_id) is None
        assert await store.clients.find_enabled_client_by_id(client_id) is None
        assert await store.clients.get_client_revision(client_id) is None
        assert await store.clients.delete_client(client_id) is False

    async def test_a_disabled_client_is_found_but_not_as_enabled(self, store: Any) -> None:
        """Stores don't filter, except where the method says so."""
        await store.clients.save_client(a_client(enabled=False))
        assert (await store.clients.find_client_by_id("web")).enabled is False
        assert await store.clients.find_enabled_client_by_id("web") is None
        await store.clients.save_client(a_client())
        assert (await store.clients.find_enabled_client_by_id("web")).client_id == "web"

    async def test_a_client_with_huge_collections_comes_back(self, store: Any) -> None:
        """A thousand redirect URIs, scopes and secrets are still one client."""
        client = a_client(
            redirect_uris={f"https://app.example/{number}" for number in range(1_000)},
            allowed_scopes={f"scope{number}" for number in range(1_000)},
            client_secrets={Secret.sha256(f"secret{number}") for number in range(1_000)},
        )
        await store.clients.save_client(client)
        found = await store.clients.find_client_by_id("web")
        assert found.model_dump() == client.model_dump()

    async def test_an_empty_store_lists_no_client(self, store: Any) -> None:
        """Without clients, the list ends at once."""
        assert [client async for client in store.clients.get_all_clients()] == []

    async def test_all_clients_are_listed_once(self, store: Any) -> None:
        """The list has every client, disabled ones included, by ascending id, beyond what one batch holds."""
        ids = [f"client{number:03}" for number in range(MORE_THAN_A_BATCH)]
        await asyncio.gather(*(store.clients.save_client(a_client(each, enabled="7" not in each)) for each in ids))
        assert [client.client_id async for client in store.clients.get_all_clients()] == ids

    async def test_listed_clients_are_whole(self, store: Any) -> None:
        """A client in the list has all that the same client has by its id, secrets and other collections included."""
        clients = [a_filled_client("a"), a_client("b"), with_nulls(a_filled_client("c"))]
        for client in clients:
            await store.clients.save_client(client)
        listed = [client async for client in store.clients.get_all_clients()]
        assert [client.model_dump() for client in listed] == [client.model_dump() for client in clients]

    async def test_the_list_goes_on_while_clients_are_deleted(self, store: Any) -> None:
        """Deleting each client as it comes takes none of the others out of the list."""
        ids = [f"client{number:03}" for number in range(MORE_THAN_A_BATCH)]
        await asyncio.gather(*(store.clients.save_client(a_client(each)) for each in ids))
        seen = []
        async for client in store.clients.get_all_clients():
            seen.append(client.client_id)
            assert await store.clients.delete_client(client.client_id) is True
        assert seen == ids
        assert [client async for client in store.clients.get_all_clients()] == []

    async def test_saving_again_replaces_all(self, store: Any) -> None:
        """The second save of an id takes the place of the first, what it lacks included."""
        await store.clients.save_client(a_filled_client())
        await store.clients.save_client(a_client())
        assert (await store.clients.find_client_by_id("web")).model_dump() == a_client().model_dump()

    async def test_deleting_removes_one_client(self, store: Any) -> None:
        """A deleted client is gone, a second deletion finds nothing, others stay."""
        await store.clients.save_client(a_client())
        await store.clients.save_client(a_client("web2"))
        assert await store.clients.delete_client("web") is True
        assert await store.clients.delete_client("web") is False
        assert await store.clients.find_client_by_id("web") is None
        assert await store.clients.find_client_by_id("web2") is not None

    async def test_revisions_grow_and_never_repeat(self, store: Any) -> None:
        """Every save gives a larger positive integer, also after a deletion."""
        seen = []
        for _ in range(3):
            for expected_revision in (0, None):
                seen.append(await store.clients.save_client(a_client(), expected_revision=expected_revision))
                assert await store.clients.get_client_revision("web") == seen[-1]
            await store.clients.delete_client("web")
        assert seen[0] > 0
        assert seen == sorted(set(seen))

    async def test_a_new_client_must_be_new(self, store: Any) -> None:
        """Revision 0 is expected of no stored client; nothing is overwritten."""
        revision = await store.clients.save_client(a_client(client_name="first"), expected_revision=0)
        with pytest.raises(AlreadyExists, match="web"):
            await store.clients.save_client(a_client(client_name="second"), expected_revision=0)
        assert (await store.clients.find_client_by_id("web")).client_name == "first"
        assert await store.clients.get_client_revision("web") == revision

    async def test_a_stale_save_is_refused(self, store: Any) -> None:
        """Who has not seen the latest save overwrites nothing, and learns both revisions."""
        first = await store.clients.save_client(a_client(client_name="first"))
        second = await store.clients.save_client(a_client(client_name="second"), expected_revision=first)
        with pytest.raises(StaleRevision) as stale:
            await store.clients.save_client(a_client(client_name="third"), expected_revision=first)
        assert (stale.value.expected, stale.value.actual) == (first, second)
        assert (await store.clients.find_client_by_id("web")).client_name == "second"
        assert await store.clients.get_client_revision("web") == second

    async def test_a_stale_save_brings_nothing_back(self, store: Any) -> None:
        """A client that was deleted stays so for who saves over a revision of it."""
        revision = await store.clients.save_client(a_client())
        await store.clients.delete_client("web")
        for expected in (revision, revision + 1):
            with pytest.raises(StaleRevision) as stale:
                await store.clients.save_client(a_client(), expected_revision=expected)
            assert (stale.value.expected, stale.value.actual) == (expected, None)
        assert await store.clients.find_client_by_id("web") is None

    async def test_a_revision_that_nobody_gave_is_stale(self, store: Any) -> None:
        """The largest possible revision matches nothing, and leaves later ones as they would have been."""
        revision = await store.clients.save_client(a_client())
        with pytest.raises(StaleRevision):
            await store.clients.save_client(a_client(), expected_revision=2**63 - 1)
        assert revision < await store.clients.save_client(a_client()) < revision + 10

    @pytest.mark.parametrize("expected_revision", IMPOSSIBLE_REVISIONS)
    async def test_an_impossible_revision_is_refused(self, store: Any, expected_revision: Any) -> None:
        """What no revision can be is an error of the caller; nothing is written."""
        with pytest.raises((TypeError, ValueError), match="expected_revision"):
            await store.clients.save_client(a_client(), expected_revision=expected_revision)
        assert await store.clients.find_client_by_id("web") is None

    async def test_one_of_many_replaces_a_revision(self, store: Any) -> None:
        """Of concurrent savers over one revision, one succeeds; its client is stored, under its revision."""
        revision = await store.clients.save_client(a_client())
        results = await _save_at_once(store, revision)
        winners = [number for number, result in enumerate(results) if isinstance(result, int)]
        assert len(winners) == 1
        assert sum(isinstance(result, StaleRevision) for result in results) == SAVERS - 1
        assert (await store.clients.find_client_by_id("web")).client_name == f"saver {winners[0]}"
        assert await store.clients.get_client_revision("web") == results[winners[0]]

    async def test_one_of_many_creates_a_client(self, store: Any) -> None:
        """Of concurrent creators of one id, one succeeds."""
        results = await _save_at_once(store, 0)
        winners = [number for number, result in enumerate(results) if isinstance(result, int)]
        assert len(winners) == 1
        assert sum(isinstance(result, AlreadyExists) for result in results) == SAVERS - 1
        assert (await store.clients.find_client_by_id("web")).client_name == f"saver {winners[0]}"

    async def test_of_many_saves_the_largest_revision_stays(self, store: Any) -> None:
        """Concurrent saves without expectation all succeed, each under a revision of its own; the largest is stored."""
        results = await _save_at_once(store, None)
        assert len(set(results)) == SAVERS
        assert await store.clients.get_client_revision("web") == max(results)
        last = results.index(max(results))
        assert (await store.clients.find_client_by_id("web")).client_name == f"saver {last}"

    async def test_saves_and_deletions_at_once_leave_a_whole_client_or_none(self, store: Any) -> None:
        """Neither sees an error when both happen at once."""
        await asyncio.gather(
            *(store.clients.save_client(a_filled_client()) for _ in range(10)),
            *(store.clients.delete_client("web") for _ in range(10)),
        )
        found = await store.clients.find_client_by_id("web")
        assert found is None or found.model_dump() == a_filled_client().model_dump()

    @pytest.mark.parametrize("client", [None, "web", {"client_id": "web"}, ApiScope(name="web"), Client], ids=repr)
    async def test_something_else_than_a_client_is_refused(self, store: Any, client: Any) -> None:
        """Only a client can be saved as one."""
        with pytest.raises(TypeError, match="Client"):
            await store.clients.save_client(client)

    async def test_all_broken_rules_are_told_at_once(self, store: Any) -> None:
        """An invalid client is refused with every problem, and what was stored stays."""
        revision = await store.clients.save_client(a_client())
        client = a_client(
            allowed_grant_types={"implicit", "authorization_code"},
            redirect_uris={"javascript:alert(1)"},
            allowed_cors_origins={"https://app.example/path"},
            access_token_lifetime=0,
        )
        with pytest.raises(InvalidModel) as invalid:
            await store.clients.save_client(client)
        told = "\n".join(invalid.value.problems)
        for property_name in ("allowed_grant_types", "redirect_uris", "allowed_cors_origins", "access_token_lifetime"):
            assert property_name in told
        assert told.replace("\n", "\n  - ") in str(invalid.value)
        assert await store.clients.get_client_revision("web") == revision

    @pytest.mark.parametrize("client_id", [each for each in IMPOSSIBLE_NAMES if isinstance(each, str)], ids=ascii)
    async def test_an_impossible_id_is_refused(self, store: Any, client_id: str) -> None:
        """A client can't be saved under what could never be found."""
        with pytest.raises(InvalidModel, match="client_id"):
            await store.clients.save_client(a_client().model_copy(update={"client_id": client_id}))
        assert [client async for client in store.clients.get_all_clients()] == []

    @pytest.mark.parametrize(
        "changes",
        [
            {"enabled": "perhaps"},
            {"redirect_uris": None},
            {"access_token_lifetime": "long"},
            {"client_secrets": frozenset({Secret.model_construct(value=7, type="SharedSecret")})},
            {"client_secrets": frozenset({"secret"})},
            {"properties": {"a": 1}},
            {"properties": {1: "a"}},
            {"client_name": "\ud800"},
            {"redirect_uris": frozenset({"https://app.example/\udfff"})},
            {"properties": {"a": "\ud800"}},
        ],
        ids=ascii,
    )
    async def test_what_bypassed_the_model_is_refused(self, store: Any, changes: dict[str, Any]) -> None:
        """`model_copy` and `model_construct` check nothing, so saving does; the message names the property."""
        with pytest.raises(InvalidModel, match=next(iter(changes))):
            await store.clients.save_client(a_client().model_copy(update=changes))
        assert await store.clients.find_client_by_id("web") is None

    async def test_a_client_that_lacks_properties_is_refused(self, store: Any) -> None:
        """A client that was constructed without its id is no client."""
        with pytest.raises(InvalidModel, match="client_id"):
            await store.clients.save_client(Client.model_construct(enabled=True))

    async def test_a_secret_in_clear_is_refused_and_not_repeated(self, store: Any) -> None:
        """A shared secret that is no hash is refused with the way to make one; the text is in no message."""
        with pytest.raises(InvalidModel, match=r"Secret\.sha256") as invalid:
            await store.clients.save_client(a_client(client_secrets={Secret(value="hunter2")}))
        assert "hunter2" not in str(invalid.value)

    async def test_what_a_caller_does_to_its_copy_changes_nothing(self, store: Any) -> None:
        """Neither the model that was saved nor one that was read is the stored client."""
        client = a_client(properties={"a": "1"})
        await store.clients.save_client(client)
        client.properties["a"] = "2"
        (await store.clients.find_client_by_id("web")).properties["a"] = "3"
        assert (await store.clients.find_client_by_id("web")).properties == {"a": "1"}


async def _save_at_once(store: Any, expected_revision: int | None) -> list[Any]:
    return await asyncio.gather(
        *(
            store.clients.save_client(a_client(client_name=f"saver {number}"), expected_revision=expected_revision)
            for number in range(SAVERS)
        ),
        return_exceptions=True,
    )
