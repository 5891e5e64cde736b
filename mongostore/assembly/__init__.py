"""`MongoStore` and `MemoryStore`: which store gets what, and nothing else."""

from mongostore.assembly.memory_store import MemoryStore
from mongostore.assembly.mongo_store import MongoStore

__all__ = ["MemoryStore", "MongoStore"]
