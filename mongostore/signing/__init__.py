"""The keys that sign tokens: made, announced, used, retired."""
