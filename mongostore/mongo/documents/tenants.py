"""How the list of tenants lies in MongoDB."""

from datetime import datetime
from typing import ClassVar

from mongostore.mongo.documents.base import StoredFields


class TenantFields(StoredFields):
    """One tenant; `_id` is its slug."""

    label: ClassVar[str] = "tenants"

    created: datetime
