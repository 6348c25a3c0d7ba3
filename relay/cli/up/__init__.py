"""`relay up`: two embedded servers and every role on one machine, as children of one process."""
