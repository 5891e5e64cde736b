"""What tests of a server on mongostore need; the contract suites are in `mongostore.testing.contracts`."""

from mongostore.testing.clock import FakeClock
from mongostore.testing.embedded import EmbeddedMongo

__all__ = ["EmbeddedMongo", "FakeClock"]
