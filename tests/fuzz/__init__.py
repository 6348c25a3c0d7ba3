"""Fuzzing of whatever reads what comes from outside: `make fuzz`, and some seconds in the tests."""
