"""How leases lie in MongoDB: who may do a job that only one node may do at a time."""

from datetime import datetime
from typing import ClassVar

from mongostore.mongo.documents.base import StoredFields


class LeaseFields(StoredFields):
    """One lease; `_id` is `tenant|name`.

    Attributes:
        owner: a random name of who holds it.
        fence: grows by one with every new holder; what a holder writes can carry it.
        expires: by the server's clock; afterwards anybody may take it.
    """

    label: ClassVar[str] = "leases"

    owner: str
    fence: int
    expires: datetime
