"""The protocols, as somebody who implements one finds them."""

from typing import get_args, get_type_hints

import mongostore.stores
from mongostore.assembly.replacements import Replacements


def test_the_protocol_of_all_that_can_be_replaced_is_in_the_package():
    """Whatever `MongoStore(…, name=…)` takes in a store's place, `mongostore.stores` has the protocol of it."""
    for name, kinds in get_type_hints(Replacements).items():
        protocol = get_args(kinds)[0]
        assert getattr(mongostore.stores, protocol.__name__, None) is protocol, name
