"""What one reading of the exporter costs: `python -m tests.bench.exporter [deliveries] [domains]`.

The store is filled with the keys that are read, of the size that so much mail gives them; contents
and records are left out, as nobody reads them here.
"""

from __future__ import annotations

import asyncio
import sys
import time

import psutil  # type: ignore[import-untyped]

from relay.console.fleet import Fleet
from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.doorbell import Doorbell
from relay.store.keys import partition_keys
from relay.store.roster import Roster
from tests.support.valkey import BROKER_OPTIONS, STORE_OPTIONS, ValkeyServer

_READINGS = 50
_FILL = """
local now, from, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local domains = tonumber(ARGV[4])
for n = from, from + count - 1 do
  local id = string.format('1m8c9paw8%011d.0', n)
  redis.call('ZADD', KEYS[1], now - n % 432000 * 1000, id)
  if n % 2 == 0 then redis.call('ZADD', KEYS[2], now + n % 3600 * 1000, id)
  elseif n % 100 == 1 then redis.call('ZADD', KEYS[3], now, id)
  else redis.call('ZADD', KEYS[4], 0, 'd' .. n % domains .. '.example|n|' .. id) end
  if n < domains then redis.call('ZADD', KEYS[5], now, 'd' .. n .. '.example') end
end
return 1
"""


async def measure(deliveries: int, domains: int) -> None:
    """Fill a store, read its gauges again and again, and print what that costs."""
    store = ValkeyServer(**STORE_OPTIONS | {"appendfsync": "no"}).start()
    broker = ValkeyServer(**BROKER_OPTIONS).start()
    client = StoreClient(Address.parse(store.url))
    doorbell = Doorbell(Address.parse(broker.url))
    try:
        await client.start()
        await _fill(client, deliveries, domains)
        names = {f"d{n}.example": n for n in range(100)}
        await Roster(client, "bench").report(names, {})
        fleet = Fleet(client, 1, doorbell)
        cpu, server, began = time.process_time(), _cpu(store), time.monotonic()
        for _ in range(_READINGS):
            await fleet.look_at_store()
        wall = time.monotonic() - began
        print(
            f"{deliveries} deliveries, {domains} domains, a reading: "
            f"{wall / _READINGS * 1e3:.1f} ms, "
            f"{(time.process_time() - cpu) / _READINGS * 1e3:.1f} ms of the exporter's CPU, "
            f"{(_cpu(store) - server) / _READINGS * 1e3:.2f} ms of the store's"
        )
        assert not [fault for fault in fleet.faults if "store" in fault], fleet.faults
    finally:
        await doorbell.close()
        await client.close()
        store.remove()
        broker.remove()


def _cpu(server: ValkeyServer) -> float:
    assert server.process is not None
    times = psutil.Process(server.process.pid).cpu_times()
    return float(times.user + times.system)


async def _fill(client: StoreClient, deliveries: int, domains: int) -> None:
    keys = partition_keys(0, 1)
    names = (keys.age, keys.later, keys.held, keys.ready, keys.wake)
    now = time.time_ns() // 1_000_000
    for start in range(0, deliveries, 5000):
        await client.command("EVAL", _FILL, len(names), *names, now, start, 5000, domains)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]] or [1_000_000, 100_000]
    asyncio.run(measure(*numbers))
