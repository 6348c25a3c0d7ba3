"""The roles: each a process of its own, put together from the settings."""
