"""DNS: the only place that imports dnspython."""
