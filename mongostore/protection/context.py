"""Where a sealed value belongs, as the associated data of its encryption.

A ciphertext that is copied to another tenant, collection, record or field does not open there.
"""

from functools import lru_cache
from typing import Final, NamedTuple

# Frozen: every sealed value in every database was authenticated together with this label.
_LABEL: Final = b"mongostore/v1"


class Context(NamedTuple):
    """The one place in which a sealed value opens.

    Attributes:
        tenant: the tenant's slug.
        collection: the noun's frozen label ("grants"), not the collection's name, which may carry a prefix.
        record_id: what the record is found by, without the tenant.
        field: the field that holds the sealed value.
    """

    tenant: str
    collection: str
    record_id: str
    field: str

    def associated_data(self) -> bytes:
        """Encode the place, injectively: two contexts share their bytes only when they are equal.

        Layout (frozen), lengths in bytes, big-endian::

            label "mongostore/v1"                   13
            length of tenant | tenant                4 | n, UTF-8
            length of collection | collection        4 | n, UTF-8
            length of record_id | record_id          4 | n, UTF-8
            length of field | field                  4 | n, UTF-8
        """
        before, behind = _around(self.tenant, self.collection, self.field)
        record_id = self.record_id.encode()
        return b"%b%b%b%b" % (before, len(record_id).to_bytes(4, "big"), record_id, behind)


@lru_cache(maxsize=1_024)
def _around(tenant: str, collection: str, field: str) -> tuple[bytes, bytes]:
    """What stands before and behind the record's id: the same for every record of a collection."""
    return _LABEL + length_prefixed(tenant, collection), length_prefixed(field)


def length_prefixed(*parts: str) -> bytes:
    """Join texts so that no two sequences of texts share their bytes.

    Layout (frozen), for each part: length in bytes as 4 bytes big-endian, then the UTF-8 text.
    """
    encoded = [part.encode() for part in parts]
    return b"".join([piece for part in encoded for piece in (len(part).to_bytes(4, "big"), part)])
