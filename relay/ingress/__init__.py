"""How mail gets in."""
