"""The programs that peers without a server of their own are made of."""
