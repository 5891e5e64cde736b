"""The options of the cleanup: the reference's, and refused at the door."""

from datetime import timedelta

import pytest

from mongostore import MemoryStore, TokenCleanupOptions, TokenCleanupService

HOUR = timedelta(hours=1)


def test_the_defaults_are_the_reference_s():
    """An hour, 100 at a time, consumed tokens stay, no delay, and a fuzzy start."""
    assert TokenCleanupOptions() == TokenCleanupOptions(
        interval=HOUR,
        batch_size=100,
        remove_consumed_tokens=False,
        consumed_token_cleanup_delay=timedelta(0),
        fuzz_start=True,
    )


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("interval", timedelta(0), ValueError),
        ("interval", -HOUR, ValueError),
        ("interval", timedelta.max, ValueError),
        ("interval", 3600, TypeError),
        ("batch_size", 0, ValueError),
        ("batch_size", -1, ValueError),
        ("batch_size", 10_001, ValueError),
        ("batch_size", True, TypeError),
        ("batch_size", 1.5, TypeError),
        ("batch_size", None, TypeError),
        ("remove_consumed_tokens", 1, TypeError),
        ("consumed_token_cleanup_delay", -HOUR, ValueError),
        ("consumed_token_cleanup_delay", timedelta.max, ValueError),
        ("consumed_token_cleanup_delay", 0, TypeError),
        ("fuzz_start", "no", TypeError),
    ],
)
def test_what_can_t_work_is_refused(option, value, error):
    """A wrong type or value is an error that names the option."""
    with pytest.raises(error, match=option):
        TokenCleanupOptions(**{option: value})


def test_the_start_is_anywhere_in_the_first_interval():
    """With a fuzzy start, nodes that start together are spread over the interval; without, they wait a whole one."""
    delays = [TokenCleanupOptions().first_delay() for _ in range(1000)]
    assert all(timedelta(0) <= delay < HOUR for delay in delays)
    assert min(delays) < HOUR / 10
    assert max(delays) > HOUR * 9 / 10
    assert TokenCleanupOptions(fuzz_start=False).first_delay() == HOUR


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([object()], "store"),
        ([MemoryStore(), {"batch_size": 20}], "options"),
        ([MemoryStore(), None, "log"], "on_removed"),
    ],
)
def test_wrong_arguments_are_refused(arguments, name):
    """A service is made of a store, options, and a function; anything else is named."""
    with pytest.raises(TypeError, match=name):
        TokenCleanupService(*arguments)
