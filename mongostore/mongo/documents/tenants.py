"""How the list of tenants lies in MongoDB, and what marks a database as one tenant's."""

from datetime import datetime
from typing import ClassVar

from mongostore.mongo.documents.base import StoredFields


class TenantFields(StoredFields):
    """One tenant; `_id` is its slug.

    Attributes:
        incarnation: a random name of this entry; absent in those of earlier versions.
        leaving_since: when its deletion began.
    """

    label: ClassVar[str] = "tenants"

    created: datetime
    incarnation: str | None = None
    leaving_since: datetime | None = None


class TenantDatabaseFields(StoredFields):
    """Says, in a tenant's own database, whose it is: only a database that says so is dropped. `_id` is the slug.

    Attributes:
        main: the main database of the deployment that made it. Deployments on one server differ in this or in the prefix.
        prefix: of that deployment's collections.
    """

    label: ClassVar[str] = "tenant_database"

    main: str
    prefix: str
    created: datetime
