"""Associated data: one place, one encoding."""

from hypothesis import given
from hypothesis import strategies as st

from mongostore.protection.context import Context

texts = st.text(st.characters(codec="utf-8"), max_size=6)
# Few letters, with the length prefixes' own bytes among them: neighbours that run together are then likely.
confusing = st.text("ab\0\x01|", max_size=4)


@given(st.tuples(texts | confusing, confusing, confusing, confusing), st.tuples(texts, confusing, confusing, confusing))
def test_two_places_never_share_associated_data(one, other):
    """The encoding is injective: it differs whenever any part does."""
    assert (Context(*one).associated_data() == Context(*other).associated_data()) == (one == other)


@given(st.tuples(confusing, confusing, confusing, confusing))
def test_text_that_slides_into_the_next_part_changes_it(parts):
    """Moving a boundary between two neighbouring parts, the text as a whole unchanged, is another place."""
    original = Context(*parts).associated_data()
    for index in range(3):
        if parts[index]:
            slid = list(parts)
            slid[index + 1] = slid[index][-1] + slid[index + 1]
            slid[index] = slid[index][:-1]
            assert Context(*slid).associated_data() != original


@given(st.tuples(texts, texts, texts, texts))
def test_layout_can_be_read_back(parts):
    """A reader of the documented layout finds the four parts and nothing else."""
    rest = Context(*parts).associated_data().removeprefix(b"mongostore/v1")
    found = []
    while rest:
        length = int.from_bytes(rest[:4], "big")
        found.append(rest[4 : 4 + length].decode())
        rest = rest[4 + length :]
    assert tuple(found) == parts
