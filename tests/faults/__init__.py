"""What goes wrong, made to go wrong on purpose, and what becomes of the mail."""
