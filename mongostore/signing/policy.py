"""Which key signs, which are published, which are to be made and deleted: decisions only, no input or output.

A key has its time from its creation: announced, then (from `propagation_time` on) active, then (from `rotation_interval`
on) only published, then (`retention_duration` later) retired. A key from the future, made by a node whose clock is ahead,
is announced.

Two clocks are in play. What a node signs with and makes follows its own (`now`). What it withholds and deletes follows the
store's (`store_time`), the same for all nodes, and counts from when the key was stored, if that was later: a node
whose clock is wrong neither deletes nor hides what others sign with, and what it signs with itself is published by them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mongostore.signing.options import SigningOptions

# A node that can't read a key of one algorithm, while it reads others, may replace it; but if that doesn't help, more
# keys won't.
MAX_UNREADABLE_KEYS = 2


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What decisions are made from.

    Attributes:
        generation: its place in the order in which keys were stored.
        created: the time of reading where a damaged record does not tell: such a key never retires by itself.
        stored: when it came into the store, by the store's time; None when that is not known.
        supersedes: once it is propagated, keys older than it sign no more.
        certified: it has an X.509 certificate.
        readable: its private part is at hand.
        lost: it could not even be opened, as if the data keys were lost; else what is not readable is no key for us.
    """

    generation: int
    id: str
    algorithm: str
    created: datetime
    stored: datetime | None = None
    supersedes: bool = False
    certified: bool = False
    readable: bool = True
    lost: bool = False


@dataclass(frozen=True, slots=True)
class SigningPlan:
    """What is to be done about the keys.

    Attributes:
        create: the algorithms that need a new key.
        blocked: those that need one, but of whose keys too many can't be read.
        delete: the retired keys.
    """

    create: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    delete: tuple[KnownKey, ...] = ()


def decide(now: datetime, store_time: datetime, keys: Sequence[KnownKey], options: SigningOptions) -> SigningPlan:
    """Say which keys are to be made and deleted.

    A key is due when an algorithm has none that signs, or when its youngest one is so old that a successor must be
    announced. None is made when there are keys and not one can be opened: whoever has lost the data keys would go on to
    make keys that nobody else can use.
    """
    present = present_keys(store_time, keys, options)
    due = [algorithm for algorithm in options.signing_algorithms if _is_due(now, present, algorithm, options)]
    creatable = [algorithm for algorithm in due if may_create(store_time, keys, algorithm, options)]
    return SigningPlan(
        create=tuple(creatable),
        blocked=tuple(algorithm for algorithm in due if algorithm not in creatable),
        delete=tuple(key for key in keys if options.delete_retired_keys and key not in present),
    )


def may_create(store_time: datetime, keys: Sequence[KnownKey], algorithm: str, options: SigningOptions) -> bool:
    """Whether one more key can help: records that are lost don't stop an algorithm of which a key is at hand."""
    present = present_keys(store_time, keys, options)
    if present and all(key.lost for key in present):
        return False
    of_algorithm = [key for key in present if key.algorithm == algorithm]
    return any(key.readable for key in of_algorithm) or sum(key.lost for key in of_algorithm) < MAX_UNREADABLE_KEYS


def present_keys(store_time: datetime, keys: Sequence[KnownKey], options: SigningOptions) -> list[KnownKey]:
    """The keys that are not retired, readable or not."""
    return [key for key in keys if store_time - _life_begins(key) < options.retirement_age]


def retirement(key: KnownKey, options: SigningOptions) -> datetime:
    """From when on a retired key is published no more and may be deleted, by the store's time."""
    return _life_begins(key) + options.retirement_age


def current_key(now: datetime, keys: Sequence[KnownKey], algorithm: str, options: SigningOptions) -> KnownKey | None:
    """The key that signs: of the active ones the oldest, unless a younger one supersedes it.

    Where no key is active the oldest announced one signs, so that nodes that start together agree.
    """
    announced = _usable(now, keys, algorithm, options)
    active = [key for key in announced if _age(now, key) >= options.propagation_time]
    for key in reversed(active):
        if key.supersedes:
            return key
    return next(iter(active or announced), None)


def awaited_key(now: datetime, keys: Sequence[KnownKey], algorithm: str, options: SigningOptions) -> KnownKey | None:
    """The key that was announced to sign as soon as it is propagated; None when the next one was not made yet."""
    current = current_key(now, keys, algorithm, options)
    for key in reversed(_usable(now, keys, algorithm, options)):
        if _age(now, key) < options.propagation_time and _is_successor(now, key, options):
            begin = key.created + options.propagation_time
            takes_over = key != current and key == current_key(begin, keys, algorithm, options)
            if key.supersedes or takes_over:
                return key
    return None


def published_keys(store_time: datetime, keys: Sequence[KnownKey], options: SigningOptions) -> list[KnownKey]:
    """The keys that tokens are validated with, oldest first.

    Algorithms that are not configured any more are among them: tokens that they signed are still about.
    """
    return sorted((key for key in present_keys(store_time, keys, options) if key.readable), key=_order)


def cache_duration(now: datetime, keys: Sequence[KnownKey], options: SigningOptions) -> timedelta:
    """For how long keys that were read at `now` may be used."""
    longest = min(options.key_cache_duration, options.propagation_time / 2)
    ages = [_age(now, key) for key in keys if key.readable]
    being_set_up = all(age <= options.initialization_duration for age in ages if age < options.rotation_interval)
    if (being_set_up and options.initialization_duration) or any(key.lost for key in keys):
        return min(longest, options.initialization_key_cache_duration)
    return longest


def _usable(now: datetime, keys: Sequence[KnownKey], algorithm: str, options: SigningOptions) -> list[KnownKey]:
    """The keys that may sign or will, oldest first."""
    usable = [
        key
        for key in keys
        if key.readable
        and key.algorithm == algorithm
        and _age(now, key) < options.rotation_interval
        and (key.certified or algorithm not in options.certificate_algorithms)
    ]
    return sorted(usable, key=_order)


def _is_due(now: datetime, keys: Sequence[KnownKey], algorithm: str, options: SigningOptions) -> bool:
    successors = [key for key in _usable(now, keys, algorithm, options) if _is_successor(now, key, options)]
    return all(_age(now, key) >= options.rotation_interval - options.propagation_time for key in successors)


def _is_successor(now: datetime, key: KnownKey, options: SigningOptions) -> bool:
    # One that a node with a wrong clock announced for far later must not put rotation off until then.
    return key.created <= now + options.propagation_time


def _life_begins(key: KnownKey) -> datetime:
    return max(key.created, key.stored or key.created)


def _age(now: datetime, key: KnownKey) -> timedelta:
    return now - key.created


def _order(key: KnownKey) -> tuple[datetime, int]:
    return key.created, key.generation
