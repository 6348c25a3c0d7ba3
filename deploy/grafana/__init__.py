"""Relay's Grafana dashboards, as code."""
