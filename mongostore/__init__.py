"""The storage layer of an OAuth 2.0 / OpenID Connect server, on MongoDB."""
