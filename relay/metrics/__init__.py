"""Every instrument of Relay, each declared in the module of its idea and had from here.

Counters and histograms tell of this process alone, since it began; sum them over the fleet. The
gauges in FLEET tell of the whole store, and only the exporter serves them. Names follow
https://prometheus.io/docs/practices/naming: base units, `_total` for what only grows.

    metrics.OUTCOMES["delivered", "2yz"].inc(3)
    metrics.ATTEMPT_SECONDS.observe(0.25)

One `inc` takes about 0.05 us and one `observe` 0.15 us, for they take no lock
(relay.metrics.instruments); whoever handles a batch adds it up all the same, and says `inc(n)`.
"""

from relay.metrics.attempts import *  # noqa: F403
from relay.metrics.bounded import OTHER as OTHER
from relay.metrics.bounded import Bounded as Bounded
from relay.metrics.declare import FLEET as FLEET
from relay.metrics.declare import PROCESS as PROCESS
from relay.metrics.fleet import *  # noqa: F403
from relay.metrics.hosts import *  # noqa: F403
from relay.metrics.identity import *  # noqa: F403
from relay.metrics.intake import *  # noqa: F403
from relay.metrics.labels import reply_class as reply_class
from relay.metrics.leases import *  # noqa: F403
from relay.metrics.sites import SITES as SITES
from relay.metrics.tenants import COMPLAINED as COMPLAINED
from relay.metrics.tenants import NO_TENANT as NO_TENANT
from relay.metrics.tenants import TENANTS as TENANTS
from relay.metrics.work import *  # noqa: F403
