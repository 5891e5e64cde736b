"""Every collection, with its fields, indexes and sealed fields in one place each."""

from mongostore.mongo.documents.base import StoredFields
from mongostore.mongo.documents.clients import ClientFields
from mongostore.mongo.documents.data_keys import DataKeyFields
from mongostore.mongo.documents.device_codes import DeviceCodeFields
from mongostore.mongo.documents.grants import GrantFields
from mongostore.mongo.documents.identity_providers import IdentityProviderFields
from mongostore.mongo.documents.leases import LeaseFields
from mongostore.mongo.documents.messages import MessageFields
from mongostore.mongo.documents.pushed_requests import PushedRequestFields
from mongostore.mongo.documents.replay import ReplayFields
from mongostore.mongo.documents.resources import ApiResourceFields, ScopeFields
from mongostore.mongo.documents.revisions import RevisionFields
from mongostore.mongo.documents.sessions import SessionFields
from mongostore.mongo.documents.signing_keys import SigningKeyFields
from mongostore.mongo.documents.tenants import TenantDatabaseFields, TenantFields

DOCUMENTS: tuple[type[StoredFields], ...] = (
    ApiResourceFields,
    ClientFields,
    DataKeyFields,
    DeviceCodeFields,
    GrantFields,
    IdentityProviderFields,
    LeaseFields,
    MessageFields,
    PushedRequestFields,
    ReplayFields,
    RevisionFields,
    ScopeFields,
    SessionFields,
    SigningKeyFields,
    TenantDatabaseFields,
    TenantFields,
)
