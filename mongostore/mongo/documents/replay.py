"""How the handles that were seen lie in MongoDB: as hashes alone, so nothing is sealed."""

from datetime import datetime
from typing import ClassVar

from pymongo import IndexModel

from mongostore.mongo.documents.base import StoredFields, expiry_index
from mongostore.stores.replay import LABEL


class ReplayFields(StoredFields):
    """One handle; `_id` is `tenant|hash of purpose and handle`.

    Attributes:
        purge_at: from when on it counts as never seen.
    """

    label: ClassVar[str] = LABEL
    indexes: ClassVar[tuple[IndexModel, ...]] = (expiry_index(),)

    purge_at: datetime
