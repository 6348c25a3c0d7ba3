"""The queue beside a model of it."""
