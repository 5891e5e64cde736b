"""What every store is made with, checked at the door: later, a slip would show far from where it was made."""

from mongostore.clock import Clock, SystemClock
from mongostore.options import StoreOptions


def checked_options(options: StoreOptions | None) -> StoreOptions:
    """Give them back; the defaults for None.

    Raises:
        TypeError: they are something else.
    """
    if options is None:
        return StoreOptions()
    if not isinstance(options, StoreOptions):
        raise TypeError(f"options must be StoreOptions, not {type(options).__name__}")
    return options


def checked_clock(clock: Clock | None) -> Clock:
    """Give it back; the machine's own for None.

    Raises:
        TypeError: it tells no time; a class in place of an object, for example.
    """
    if clock is None:
        return SystemClock()
    if isinstance(clock, type) or not callable(getattr(clock, "now", None)):
        # Its type alone: what was mistaken for a clock may be a secret.
        name = f"the class {clock.__name__}" if isinstance(clock, type) else f"a {type(clock).__name__}"
        raise TypeError(f"clock must be an object with a method now(), see Clock; it is not {name}")
    return clock
