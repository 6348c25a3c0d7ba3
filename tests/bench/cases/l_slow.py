"""Case LS: L on a disk whose every sync takes 5 ms more, as many a cloud's disk does.

A library of our own, loaded before the C library, makes fsync and fdatasync so slow
(src/slow_sync.c). What it then is, is told; no bar is set.
"""

from msgspec import structs

from tests.bench.cases import l

CASE = structs.replace(
    l.CASE,
    name="LS",
    title="L on a disk that takes 5 ms to sync",
    sync_ms=5.0,
    bars=(),
    systems=("relay", "postfix"),
    # Postfix gives its daemons the environment that it is told to give them, and no other.
    postfix_settings="import_environment = MAIL_CONFIG MAIL_LOGTAG TZ LD_PRELOAD SLOW_SYNC_US\n",
)
