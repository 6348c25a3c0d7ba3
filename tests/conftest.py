"""Fixtures that every test may use: real servers on loopback or on unix sockets."""

pytest_plugins = ["tests.support.fixtures"]
