"""Settings: one TOML file and `RELAY_` environment variables, checked before the start."""

from relay.config.load import load_settings
from relay.config.settings import Settings

__all__ = ["Settings", "load_settings"]
