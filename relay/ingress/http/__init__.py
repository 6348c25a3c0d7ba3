"""The HTTP API: the same as the Python client, for services in any language."""
