"""Origins in one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongostore.models.origins import normalize_origin


@pytest.mark.parametrize(
    ("given_origin", "expected"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("https://app.example:80", "https://app.example:80"),
        ("https://app.example:08443", "https://app.example:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://[2001:DB8:0:0:0:0:0:1]", "http://[2001:db8::1]"),
        ("https://Bücher.example", "https://bücher.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("app://.", "app://."),
    ],
)
def test_origins_have_one_spelling(given_origin: str, expected: str) -> None:
    """Case and default ports make no other origin."""
    assert normalize_origin(given_origin) == expected


@pytest.mark.parametrize(
    "text",
    [
        "null", "", " ", "https://", "app.example", "//app.example", "https:app.example", "https://app.example/",
        "https://app.example/x", "https://app.example?x", "https://app.example#x", "https://u:p@app.example",
        "https://app.example:", "https://app.example:0", "https://app.example:65536", "https://app.example:x",
        "https://app.example:٣", "https://[::1", "https://::1", "https://[zz]", "https://[1.2.3.4]", "https://a b",
        " https://app.example", "https://app.example\n", "https://app.example\\x", "https://a,b", "https://*.example",
        "https://a%2eb", "1http://a", "https://a\u3000b", "https://a\0", f"https://{'a' * 1000}", None, 7, b"https://a",
    ],
)  # fmt: skip
def test_what_is_no_origin_is_none(text: object) -> None:
    """Paths, users, queries, blanks, wildcards and `null` make no origin."""
    assert normalize_origin(text) is None


@given(st.one_of(st.text(), st.from_regex(r"[a-zA-Z]{2,6}://[\w.-]{1,20}(:\d{1,5})?", fullmatch=True)))
def test_a_normal_origin_stays(text: str) -> None:
    """Nothing crashes it, and its own spelling is final."""
    once = normalize_origin(text)
    if once is not None:
        assert normalize_origin(once) == once
