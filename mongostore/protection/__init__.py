"""Seals bytes for storage and keeps the keys to them. It knows nothing of grants and nothing of MongoDB."""
