"""What every `IdentityProviderStore` does.

Subclass with a fixture `store`: an open, empty store.
"""

import asyncio
from typing import Any

import pytest

from mongostore.errors import AlreadyExists, InvalidModel, StaleRevision
from mongostore.models import IdentityProvider, IdentityProviderName, OidcProvider
from mongostore.testing.contracts.filled_models import (
    IMPOSSIBLE_NAMES,
    ODD_NAMES,
    PROPERTIES,
    an_oidc_provider,
    filled,
    with_nulls,
)
from mongostore.testing.factories import a_client

SAVERS = 20


class IdentityProviderStoreContract:
    """Finding, listing, saving and deleting identity providers."""

    async def test_an_unknown_scheme_is_none(self, store: Any) -> None:
        """There is no provider where none was saved."""
        assert await store.identity_providers.get_by_scheme("acme") is None
        assert await store.identity_providers.get_all_scheme_names() == []
        assert await store.identity_providers.delete_identity_provider("acme") is False

    async def test_every_property_comes_back(self, store: Any) -> None:
        """A provider with no property at its default is read as it was saved, and so is one with None."""
        provider = filled(IdentityProvider)
        for each in (provider, with_nulls(provider)):
            await store.identity_providers.save_identity_provider(each)
            found = await store.identity_providers.get_by_scheme(provider.scheme)
            assert type(found) is IdentityProvider
            assert found == each

    async def test_an_oidc_provider_is_read_as_one(self, store: Any) -> None:
        """A provider of type "oidc" has its settings by name, its secret in clear, in whichever class it was saved."""
        provider = an_oidc_provider(scope="openid email", use_pkce=False, properties=PROPERTIES)
        plain = IdentityProvider(type="oidc", scheme="acme", properties=provider.properties)
        for each in (provider, plain):
            await store.identity_providers.save_identity_provider(each)
            found = await store.identity_providers.get_by_scheme("acme")
            assert type(found) is OidcProvider
            assert found == provider
            assert (found.client_secret, found.scopes, found.use_pkce) == ("hunter2", ["openid", "email"], False)

    async def test_a_disabled_provider_is_found(self, store: Any) -> None:
        """Stores don't filter: disabled providers are read and listed."""
        await store.identity_providers.save_identity_provider(an_oidc_provider(enabled=False))
        assert (await store.identity_providers.get_by_scheme("acme")).enabled is False
        (name,) = await store.identity_providers.get_all_scheme_names()
        assert name.enabled is False

    async def test_all_schemes_are_listed_in_order(self, store: Any) -> None:
        """The list has scheme, display name and whether it is enabled, by ascending scheme."""
        for scheme, display_name in (("b", None), ("C", "See"), ("a", "Ay")):
            await store.identity_providers.save_identity_provider(an_oidc_provider(scheme, display_name=display_name))
        assert await store.identity_providers.get_all_scheme_names() == [
            IdentityProviderName(scheme="C", display_name="See"),
            IdentityProviderName(scheme="a", display_name="Ay"),
            IdentityProviderName(scheme="b"),
        ]

    async def test_no_character_of_a_scheme_is_special(self, store: Any) -> None:
        """Schemes are told apart byte for byte: case, blanks, separators and Unicode forms."""
        for scheme in ODD_NAMES:
            await store.identity_providers.save_identity_provider(an_oidc_provider(scheme, client_id=f"id of {scheme}"))
        for scheme in ODD_NAMES:
            found = await store.identity_providers.get_by_scheme(scheme)
            assert (found.scheme, found.client_id) == (scheme, f"id of {scheme}")
        names = await store.identity_providers.get_all_scheme_names()
        assert [name.scheme for name in names] == sorted(ODD_NAMES)

    @pytest.mark.parametrize("similar", ["ACME", "Acme", " acme", "acme ", "acm", "acmee"])
    async def test_a_similar_scheme_is_another_one(self, store: Any, similar: str) -> None:
        """Neither case nor blanks are forgiven, for reading as for deleting."""
        await store.identity_providers.save_identity_provider(an_oidc_provider())
        assert await store.identity_providers.get_by_scheme(similar) is None
        assert await store.identity_providers.delete_identity_provider(similar) is False
        assert await store.identity_providers.get_by_scheme("acme") == an_oidc_provider()

    @pytest.mark.parametrize("scheme", IMPOSSIBLE_NAMES, ids=ascii)
    async def test_an_impossible_scheme_finds_nothing(self, store: Any, scheme: Any) -> None:
        """What no provider can be called is absent, whatever it is."""
        assert await store.identity_providers.get_by_scheme(scheme) is None
        assert await store.identity_providers.delete_identity_provider(scheme) is False

    async def test_saving_again_replaces_and_deleting_removes(self, store: Any) -> None:
        """The second save takes the place of the first; a deleted provider is gone."""
        await store.identity_providers.save_identity_provider(an_oidc_provider(properties={"a": "1"}))
        await store.identity_providers.save_identity_provider(an_oidc_provider())
        assert await store.identity_providers.get_by_scheme("acme") == an_oidc_provider()
        assert await store.identity_providers.delete_identity_provider("acme") is True
        assert await store.identity_providers.delete_identity_provider("acme") is False
        assert await store.identity_providers.get_by_scheme("acme") is None

    async def test_revisions_are_those_of_clients(self, store: Any) -> None:
        """0 must be new, n must be at n, and every save gives a larger revision, also after a deletion."""
        save = store.identity_providers.save_identity_provider
        first = await save(an_oidc_provider(), expected_revision=0)
        with pytest.raises(AlreadyExists):
            await save(an_oidc_provider(client_id="new"), expected_revision=0)
        second = await save(an_oidc_provider(), expected_revision=first)
        assert second > first > 0
        with pytest.raises(StaleRevision) as stale:
            await save(an_oidc_provider(client_id="new"), expected_revision=first)
        assert (stale.value.expected, stale.value.actual) == (first, second)
        with pytest.raises(ValueError, match="expected_revision"):
            await save(an_oidc_provider(client_id="new"), expected_revision=-1)
        assert (await store.identity_providers.get_by_scheme("acme")).client_id == "us"
        await store.identity_providers.delete_identity_provider("acme")
        with pytest.raises(StaleRevision):
            await save(an_oidc_provider(), expected_revision=second)
        assert await store.identity_providers.get_by_scheme("acme") is None
        assert await save(an_oidc_provider(), expected_revision=0) > second

    async def test_one_of_many_replaces_a_revision(self, store: Any) -> None:
        """Of concurrent savers over one revision, one succeeds."""
        save = store.identity_providers.save_identity_provider
        revision = await save(an_oidc_provider())
        results = await asyncio.gather(
            *(save(an_oidc_provider(client_id=str(number)), expected_revision=revision) for number in range(SAVERS)),
            return_exceptions=True,
        )
        (winner,) = [number for number, result in enumerate(results) if isinstance(result, int)]
        assert sum(isinstance(result, StaleRevision) for result in results) == SAVERS - 1
        assert (await store.identity_providers.get_by_scheme("acme")).client_id == str(winner)

    async def test_an_invalid_provider_is_refused_and_its_secret_not_repeated(self, store: Any) -> None:
        """What an OpenID Connect provider must have is told at once; nothing is written."""
        provider = IdentityProvider(type="oidc", scheme="acme", properties={"ClientSecret": "hunter2"})
        with pytest.raises(InvalidModel) as invalid:
            await store.identity_providers.save_identity_provider(provider)
        assert {"Authority", "ClientId"} <= set(str(invalid.value).split())
        assert "hunter2" not in str(invalid.value)
        assert await store.identity_providers.get_by_scheme("acme") is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"scheme": ""},
            {"scheme": "x" * 1_001},
            {"type": " "},
            {"enabled": None},
            {"properties": None},
            {"properties": {"a": 1}},
            {"display_name": "\ud800"},
        ],
        ids=lambda value: ascii(value)[:40],
    )
    async def test_what_bypassed_the_model_is_refused(self, store: Any, changes: dict[str, Any]) -> None:
        """`model_copy` checks nothing, so saving does; the message names the property."""
        provider = IdentityProvider(type="custom", scheme="acme").model_copy(update=changes)
        with pytest.raises(InvalidModel, match=next(iter(changes))):
            await store.identity_providers.save_identity_provider(provider)
        assert await store.identity_providers.get_all_scheme_names() == []

    @pytest.mark.parametrize(
        "provider", [None, "acme", {"scheme": "acme"}, a_client()], ids=lambda value: type(value).__name__
    )
    async def test_something_else_than_a_provider_is_refused(self, store: Any, provider: Any) -> None:
        """Only an identity provider can be saved as one."""
        with pytest.raises(TypeError, match="IdentityProvider"):
            await store.identity_providers.save_identity_provider(provider)

    async def test_what_a_caller_does_to_its_copy_changes_nothing(self, store: Any) -> None:
        """Neither the model that was saved nor one that was read is the stored provider."""
        provider = an_oidc_provider()
        await store.identity_providers.save_identity_provider(provider)
        provider.properties["ClientId"] = "2"
        (await store.identity_providers.get_by_scheme("acme")).properties["ClientId"] = "3"
        assert (await store.identity_providers.get_by_scheme("acme")).client_id == "us"
