"""Decisions: pure functions of their arguments, without clock, chance or I/O."""
