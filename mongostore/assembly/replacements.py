"""The user's own stores in the place of ours: `MongoStore(…, clients=MyClientStore())`."""

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from mongostore.errors import ConfigurationError
from mongostore.stores.clients import ClientStore
from mongostore.stores.cors import CorsPolicyService
from mongostore.stores.device_codes import DeviceFlowStore
from mongostore.stores.grant_records import GrantRecordStore
from mongostore.stores.identity_providers import IdentityProviderStore
from mongostore.stores.messages import MessageStore
from mongostore.stores.persisted_grants import PersistedGrantStore
from mongostore.stores.pushed_requests import PushedAuthorizationRequestStore
from mongostore.stores.replay import ReplayCache
from mongostore.stores.resources import ResourceStore
from mongostore.stores.sessions import ServerSideSessionStore
from mongostore.stores.signing_keys import SigningKeyRecords
from mongostore.tenancy import DEFAULT_TENANT, Tenant


class Replacements(TypedDict, total=False):
    """What may be replaced: a store, for a deployment without tenants, or a function that makes one for a tenant.

    `persisted_grants` and `grant_records` are two views of the same grants, so they are replaced together.
    """

    clients: ClientStore | Callable[[Tenant], ClientStore]
    resources: ResourceStore | Callable[[Tenant], ResourceStore]
    cors_policy: CorsPolicyService | Callable[[Tenant], CorsPolicyService]
    identity_providers: IdentityProviderStore | Callable[[Tenant], IdentityProviderStore]
    persisted_grants: PersistedGrantStore | Callable[[Tenant], PersistedGrantStore]
    grant_records: GrantRecordStore | Callable[[Tenant], GrantRecordStore]
    device_flow: DeviceFlowStore | Callable[[Tenant], DeviceFlowStore]
    pushed_authorization_requests: PushedAuthorizationRequestStore | Callable[[Tenant], PushedAuthorizationRequestStore]
    messages: MessageStore | Callable[[Tenant], MessageStore]
    consent_messages: MessageStore | Callable[[Tenant], MessageStore]
    replay_cache: ReplayCache | Callable[[Tenant], ReplayCache]
    server_side_sessions: ServerSideSessionStore | Callable[[Tenant], ServerSideSessionStore]
    signing_keys: SigningKeyRecords | Callable[[Tenant], SigningKeyRecords]


def checked_replacements(replacements: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give them back when they can be used together.

    Raises:
        TypeError: there is nothing of that name to replace.
        ConfigurationError: one of the two views of grants was replaced without the other.
    """
    unknown = replacements.keys() - Replacements.__annotations__.keys()
    if unknown:
        raise TypeError(f"a MongoStore has no argument {', '.join(sorted(unknown))}")
    if ("persisted_grants" in replacements) != ("grant_records" in replacements):
        raise ConfigurationError(
            "persisted_grants and grant_records are two views of the same grants: replace both, or neither"
        )
    return replacements


def replacements_for(replacements: Mapping[str, Any], tenant: Tenant) -> dict[str, Any]:
    """The replaced stores of a tenant.

    Raises:
        ConfigurationError: a store was given that knows no tenants, and this is not the default one.
    """
    made = {}
    for name, store in replacements.items():
        if callable(store):
            made[name] = store(tenant)
        elif tenant == DEFAULT_TENANT:
            made[name] = store
        else:
            raise ConfigurationError(
                f"{name} was replaced by one store, which can't tell tenants apart: give a function of the tenant instead"
            )
    return made
