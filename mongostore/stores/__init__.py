"""What a backend has to be: a protocol for each noun. Any of them may be implemented by somebody else."""

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
from mongostore.stores.revised import Revised
from mongostore.stores.session_logouts import EndedSessions, Logout, LogoutState, Retry
from mongostore.stores.sessions import ServerSideSessionStore
from mongostore.stores.signing_keys import SigningKeyRecords, SigningKeyStore

__all__ = [
    "ClientStore",
    "CorsPolicyService",
    "DeviceFlowStore",
    "EndedSessions",
    "GrantRecordStore",
    "IdentityProviderStore",
    "Logout",
    "LogoutState",
    "MessageStore",
    "PersistedGrantStore",
    "PushedAuthorizationRequestStore",
    "ReplayCache",
    "ResourceStore",
    "Retry",
    "Revised",
    "ServerSideSessionStore",
    "SigningKeyRecords",
    "SigningKeyStore",
]
