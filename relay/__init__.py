"""Relay: an outbound SMTP relay with one shared durable queue."""
