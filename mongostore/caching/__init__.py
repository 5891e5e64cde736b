"""Configuration kept in memory in front of any store of it: yours too.

Wrap a store in `CachedClientStore`, `CachedResourceStore`, `CachedCorsPolicyService` or `CachedIdentityProviderStore`; the
four of a deployment share one `ConfigurationCaches`.
"""

from mongostore.caching.caches import CachingOptions, ConfigurationCaches
from mongostore.caching.clients import CachedClientStore
from mongostore.caching.cors import CachedCorsPolicyService
from mongostore.caching.identity_providers import CachedIdentityProviderStore
from mongostore.caching.resources import CachedResourceStore
from mongostore.caching.single_flight import CacheStatistics

__all__ = [
    "CacheStatistics",
    "CachedClientStore",
    "CachedCorsPolicyService",
    "CachedIdentityProviderStore",
    "CachedResourceStore",
    "CachingOptions",
    "ConfigurationCaches",
]
