"""One attempt, end to end."""
