"""Fixtures that every test may use: real servers on loopback or on unix sockets."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.fixtures"]

# By the clock an example takes as long as the machine has other things to do; what must be fast is
# held to it by its CPU time, and a test that never ends by pytest's timeout.
settings.register_profile(
    "relay", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("relay")
