"""The counter that revisions are drawn from: they grow with every save and never repeat, deletion included."""

from typing import ClassVar

from mongostore.mongo.documents.base import StoredFields


class RevisionFields(StoredFields):
    """One counter a tenant; `_id` is `tenant|configuration`."""

    label: ClassVar[str] = "revisions"

    value: int
