"""The queue of record in Redis: the only place that imports redis and hiredis."""
