"""What becomes of models that were changed by `model_copy(update=…)`, which checks nothing: the same in every store."""

from typing import Any

import pytest

from mongostore.errors import InvalidModel
from mongostore.models import (
    ApiScope,
    AuthorizationCode,
    Claim,
    ClientClaim,
    Message,
    PersistedGrantFilter,
    RemoveSessionsContext,
    Secret,
    SessionFilter,
    SessionQuery,
)
from mongostore.testing.contracts.filled_models import an_api_resource, an_oidc_provider
from mongostore.testing.factories import (
    a_backchannel_request,
    a_client,
    a_consent,
    a_device_code,
    a_grant,
    a_principal,
    a_pushed_request,
    a_reference_token,
    a_refresh_token,
    a_serialized_key,
    a_session,
    a_ticket,
    an_answered_device_code,
    an_authorization_code,
)

JSON = Message("x")
SAVED: dict[str, tuple[Any, Any]] = {
    "client": (a_client(), lambda store, model: store.clients.save_client(model)),
    "API scope": (ApiScope(name="a"), lambda store, model: store.resources.save_api_scope(model)),
    "API resource": (an_api_resource(), lambda store, model: store.resources.save_api_resource(model)),
    "provider": (an_oidc_provider(), lambda store, model: store.identity_providers.save_identity_provider(model)),
}
STORED: dict[str, tuple[Any, Any]] = {
    "grant": (a_grant(), lambda store, model: store.persisted_grants.store(model)),
    "filter": (PersistedGrantFilter(subject_id="alice"), lambda store, model: store.persisted_grants.remove_all(model)),
    "code": (an_authorization_code(), lambda store, model: store.authorization_codes.store_authorization_code(model)),
    "refresh token": (a_refresh_token(), lambda store, model: store.refresh_tokens.store_refresh_token(model)),
    "reference token": (a_reference_token(), lambda store, model: store.reference_tokens.store_reference_token(model)),
    "consent": (a_consent(), lambda store, model: store.user_consents.store_user_consent(model)),
    "device code": (
        a_device_code(),
        lambda store, model: store.device_flow.store_device_authorization("device", "user", model),
    ),
    "pushed request": (a_pushed_request(), lambda store, model: store.pushed_authorization_requests.store(model)),
    "backchannel request": (
        a_backchannel_request(),
        lambda store, model: store.backchannel_authentication_requests.create_request(model),
    ),
    "message": (JSON, lambda store, model: store.messages.write(model)),
    "signing key": (a_serialized_key(), lambda store, model: store.signing_keys.store_key(model)),
    "session": (a_session(), lambda store, model: store.server_side_sessions.create_session(model)),
    "session filter": (
        SessionFilter(subject_id="alice"),
        lambda store, model: store.server_side_sessions.delete_sessions(model),
    ),
    "session query": (SessionQuery(), lambda store, model: store.server_side_sessions.query_sessions(model)),
    "ticket": (a_ticket(), lambda store, model: store.tickets.store(model)),
    "context": (RemoveSessionsContext(subject_id="alice"), lambda store, model: store.sessions.end(model)),
}
OF_SOME_VALUES = {"access_token_type", "proof_type", "match"}
every_store = pytest.mark.parametrize("name", [*SAVED, *STORED])


def _subclass_instance(model: Any) -> Any:
    added = type("Extended", (type(model),), {"__annotations__": {"added": str}, "added": "x", "__module__": __name__})
    return added(**dict(model))


class CopiedModelContract:
    """Subclass it, with a fixture `store` that is open and empty."""

    @every_store
    @pytest.mark.parametrize("change", ["misspelt", "subclass"])
    async def test_an_unknown_property_is_refused(self, store: Any, name: str, change: str) -> None:
        """It would vanish otherwise, be it a slip or a subclass's own."""
        model, call = {**SAVED, **STORED}[name]
        changed = model.model_copy(update={"misspelt": "x"}) if change == "misspelt" else _subclass_instance(model)
        with pytest.raises((ValueError, InvalidModel), match=r"there is no property '(misspelt|added)'") as refused:
            await call(store, changed)
        assert type(refused.value) in (ValueError, InvalidModel)

    @every_store
    async def test_a_model_without_anything_is_refused(self, store: Any, name: str) -> None:
        """`model_construct` makes it; where everything has a default, that is what it says."""
        model, call = {**SAVED, **STORED}[name]
        empty = type(model).model_construct()
        if name == "session query":
            assert (await call(store, empty)).results == []
            return
        with pytest.raises((ValueError, InvalidModel)) as refused:
            await call(store, empty)
        assert type(refused.value) in (ValueError, InvalidModel)

    @every_store
    async def test_a_wrong_type_is_refused(self, store: Any, name: str) -> None:
        """In every property: with a TypeError, or where rules are listed, InvalidModel; never with pydantic's own error."""
        model, call = {**SAVED, **STORED}[name]
        for field in type(model).model_fields:
            of_some_values = field in OF_SOME_VALUES or (model, field) == (JSON, "data")
            kinds = (ValueError if of_some_values else TypeError, InvalidModel)
            with pytest.raises(kinds, match=field) as refused:
                await call(store, model.model_copy(update={field: object()}))
            assert type(refused.value) in kinds

    async def test_a_client_is_saved_as_validation_makes_it(self, store: Any) -> None:
        """Collections of another kind, numbers and switches written as text."""
        secret, claim = Secret.sha256("a"), ClientClaim(type="t", value="v")
        changes = {
            "client_secrets": [secret],
            "claims": (claim,),
            "enabled": "no",
            "access_token_lifetime": "60",
            "allowed_scopes": ["b", "a", "b"],
        }
        await store.clients.save_client(a_client().model_copy(update=changes))
        found = await store.clients.find_client_by_id("web")
        assert (found.client_secrets, found.claims) == ({secret}, {claim})
        assert (found.enabled, found.access_token_lifetime) == (False, 60)
        assert found.allowed_scopes == frozenset({"a", "b"})
        assert await store.clients.find_enabled_client_by_id("web") is None

    async def test_a_resource_is_found_by_the_scopes_of_a_list(self, store: Any) -> None:
        """And so is every other one afterwards."""
        await store.resources.save_api_resource(an_api_resource().model_copy(update={"scopes": ["read", "write"]}))
        (found,) = await store.resources.find_api_resources_by_scope_name(["write"])
        assert found.scopes == {"read", "write"}

    async def test_a_secret_inside_is_checked_too(self, store: Any) -> None:
        """The message names the property, not the value."""
        secret = Secret.sha256("a").model_copy(update={"value": 4711})
        with pytest.raises(InvalidModel, match="client_secrets: Input should be a valid string") as refused:
            await store.clients.save_client(a_client().model_copy(update={"client_secrets": {secret}}))
        assert "4711" not in str(refused.value)

    async def test_an_answer_that_is_misspelt_is_told(self, store: Any) -> None:
        """The device would wait for ever."""
        await store.device_flow.store_device_authorization("device", "user", a_device_code())
        with pytest.raises(ValueError, match=r"is_authorised.*did you mean 'is_authorized'"):
            await store.device_flow.update_by_user_code(
                "user", a_device_code().model_copy(update={"is_authorised": True})
            )
        await store.device_flow.update_by_user_code("user", a_device_code().model_copy(update={"is_authorized": "yes"}))
        assert (await store.device_flow.consume_by_device_code("device")).is_authorized is True

    async def test_a_successor_is_checked_before_it_is_compared(self, store: Any) -> None:
        """What is no subject is no AttributeError, and the old token stays."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        with pytest.raises(TypeError, match="subject"):
            await store.refresh_tokens.rotate_refresh_token(
                handle, a_refresh_token().model_copy(update={"subject": None})
            )
        assert (await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())).outcome == "rotated"

    async def test_properties_of_the_servers_own_are_kept(self, store: Any) -> None:
        """Codes, tokens, device codes and consents have them, with any JSON value."""
        properties = {"acr": "mfa", "a.b|$": [1, None, {"x": True}], "": 0.5}
        codes, tokens = store.authorization_codes, store.refresh_tokens
        handle = await codes.store_authorization_code(an_authorization_code(properties=properties))
        assert (await codes.get_authorization_code(handle)).properties == properties
        inner = {"": a_reference_token(properties=properties)}
        handle = await tokens.store_refresh_token(a_refresh_token(properties=properties, access_tokens=inner))
        found = await tokens.get_refresh_token(handle)
        assert (found.properties, found.access_tokens[""].properties) == (properties, properties)
        handle = await store.reference_tokens.store_reference_token(inner[""])
        assert (await store.reference_tokens.get_reference_token(handle)).properties == properties
        await store.user_consents.store_user_consent(a_consent(properties=properties))
        assert (await store.user_consents.get_user_consent("alice", "web")).properties == properties
        answered = an_answered_device_code(properties=properties)
        await store.device_flow.store_device_authorization("device", "user", answered)
        assert (await store.device_flow.consume_by_device_code("device")).properties == properties

    async def test_a_pushed_request_knows_its_client(self, store: Any) -> None:
        """As it is given, else by its single parameter; subject and session are as given."""
        requests = store.pushed_authorization_requests
        await requests.store(a_pushed_request("one", subject_id="alice", session_id="s1"))
        await requests.store(a_pushed_request("two", client_id="other"))
        await requests.store(a_pushed_request("three", parameters={"client_id": ["a", "b"]}))
        found = [await requests.get_by_hash(name) for name in ("one", "two", "three")]
        assert [each.client_id for each in found] == ["web", "other", None]
        assert [(each.subject_id, each.session_id) for each in found] == [("alice", "s1"), (None, None), (None, None)]

    async def test_a_principal_without_checks_is_found(self, store: Any) -> None:
        """Whatever lies inside is validated as well."""
        subject = a_principal().model_copy(update={"claims": [Claim.model_construct(type="sub", value=7)]})
        code = an_authorization_code().model_copy(update={"subject": subject})
        assert isinstance(code, AuthorizationCode)
        with pytest.raises(TypeError, match="subject: Input should be a valid string"):
            await store.authorization_codes.store_authorization_code(code)
