"""What every `CorsPolicyService` does.

Subclass with a fixture `store`: an open, empty store.
"""

from typing import Any

import pytest

from mongostore.testing.factories import a_client


class CorsPolicyContract:
    """Allowing the origins of clients."""

    @pytest.mark.parametrize(
        ("stored", "asked"),
        [
            ("https://app.example", "https://app.example"),
            ("https://APP.example", "https://app.example"),
            ("https://app.example", "HTTPS://App.Example"),
            ("https://app.example:443", "https://app.example"),
            ("https://app.example", "https://app.example:443"),
            ("http://app.example:80", "http://app.example"),
            ("http://localhost:3000", "http://LOCALHOST:3000"),
            ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ],
    )
    async def test_a_clients_origin_is_allowed(self, store: Any, stored: str, asked: str) -> None:
        """Both sides are brought into one spelling before they are compared."""
        await store.clients.save_client(a_client(allowed_cors_origins={stored, "https://other.example"}))
        assert await store.cors_policy.is_origin_allowed(asked) is True

    @pytest.mark.parametrize(
        "asked",
        [
            "https://other.example",
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil.example",
            "https://evilapp.example",
            "https://app.exampl",
            "https://sub.app.example",
            "https://app.example/",
            "https://app.example/path",
            "https://user@app.example",
            " https://app.example",
            "https://app.example\n",
            "https://*",
            "*",
            "null",
            "",
            "app.example",
            "https://app.example:0x1bb",
            "https://app.example:99999",
            "https://" + "a" * 5_000,
            "https://app.example\0",
            "\ud800",
            None,
            7,
            ["https://app.example"],
        ],
        ids=lambda value: ascii(value)[:40],
    )
    async def test_anything_else_is_not_allowed(self, store: Any, asked: Any) -> None:
        """Scheme, host and port must all be the same; what is no origin is never allowed."""
        await store.clients.save_client(a_client(allowed_cors_origins={"https://app.example"}))
        assert await store.cors_policy.is_origin_allowed(asked) is False

    async def test_only_enabled_clients_count(self, store: Any) -> None:
        """An origin is allowed as long as one enabled client has it."""
        origins = {"https://app.example"}
        await store.clients.save_client(a_client("one", allowed_cors_origins=origins, enabled=False))
        assert await store.cors_policy.is_origin_allowed("https://app.example") is False
        await store.clients.save_client(a_client("two", allowed_cors_origins=origins))
        assert await store.cors_policy.is_origin_allowed("https://app.example") is True
        await store.clients.save_client(a_client("two", allowed_cors_origins=origins, enabled=False))
        assert await store.cors_policy.is_origin_allowed("https://app.example") is False

    async def test_an_origin_goes_with_its_client(self, store: Any) -> None:
        """An origin that was taken from the client, or whose client was deleted, is no longer allowed."""
        await store.clients.save_client(a_client(allowed_cors_origins={"https://a.example", "https://b.example"}))
        await store.clients.save_client(a_client(allowed_cors_origins={"https://b.example"}))
        assert await store.cors_policy.is_origin_allowed("https://a.example") is False
        assert await store.cors_policy.is_origin_allowed("https://b.example") is True
        await store.clients.delete_client("web")
        assert await store.cors_policy.is_origin_allowed("https://b.example") is False

    async def test_a_clients_origins_stay_as_they_were_given(self, store: Any) -> None:
        """Normalising is for the comparison; the client keeps its own spelling."""
        await store.clients.save_client(a_client(allowed_cors_origins={"https://APP.example:443"}))
        found = await store.clients.find_client_by_id("web")
        assert found.allowed_cors_origins == {"https://APP.example:443"}
