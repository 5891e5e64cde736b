"""The storage layer of an OAuth 2.0 / OpenID Connect server, on MongoDB, for async Python.

Begin with `MongoStore`, or `MemoryStore` without a database; models are in `mongostore.models`.
"""

from mongostore.assembly import MemoryStore, MongoStore
from mongostore.caching import CachingOptions
from mongostore.errors import (
    AlreadyExists,
    ConfigurationError,
    InvalidModel,
    KeyUnavailable,
    MongostoreError,
    MongostoreWarning,
    NotFound,
    PayloadUnreadable,
    StaleRevision,
    StorageUnavailable,
)
from mongostore.events import StoreEvent
from mongostore.grants.cleanup import CleanupCounts, TokenCleanupOptions, TokenCleanupService
from mongostore.health import HealthReport
from mongostore.maintenance import MaintenanceReport, TenantMaintenance
from mongostore.options import StoreOptions
from mongostore.protection.master_keys import AwsKmsMasterKey, LocalMasterKey, MasterKeyChain
from mongostore.protection.rotation import KeyRotationPolicy
from mongostore.signing.options import SigningOptions
from mongostore.stores.revised import Revised
from mongostore.telemetry import Telemetry
from mongostore.tenancy import DatabasePerTenant, SharedDatabase

__all__ = [
    "AlreadyExists",
    "AwsKmsMasterKey",
    "CachingOptions",
    "CleanupCounts",
    "ConfigurationError",
    "DatabasePerTenant",
    "HealthReport",
    "InvalidModel",
    "KeyRotationPolicy",
    "KeyUnavailable",
    "LocalMasterKey",
    "MaintenanceReport",
    "MasterKeyChain",
    "MemoryStore",
    "MongoStore",
    "MongostoreError",
    "MongostoreWarning",
    "NotFound",
    "PayloadUnreadable",
    "Revised",
    "SharedDatabase",
    "SigningOptions",
    "StaleRevision",
    "StorageUnavailable",
    "StoreEvent",
    "StoreOptions",
    "Telemetry",
    "TenantMaintenance",
    "TokenCleanupOptions",
    "TokenCleanupService",
]
