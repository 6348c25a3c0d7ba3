"""A Redis Cluster of the tests' own: three primaries on loopback, with replicas where asked for."""

from __future__ import annotations

import contextlib
from typing import Any

from relay.store.keys import slot_of
from tests.support.ports import free_port
from tests.support.source import eventually
from tests.support.valkey import IN_MEMORY, STORE_OPTIONS, ValkeyServer

PARTITIONS = 6
#: What a Relay on a cluster is told, besides its URL.
SETTINGS = {"RELAY_STORE__PARTITIONS": str(PARTITIONS)}
_SLOTS = 16384
_OPTIONS = {
    **STORE_OPTIONS,
    "cluster-enabled": "yes",
    "cluster-node-timeout": "2000",
    # A node that is away takes nothing down but its own slots.
    "cluster-require-full-coverage": "no",
    "cluster-allow-replica-migration": "no",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
}


class ClusterStore:
    """Speaks like a ValkeyServer; `nodes` are the three that begin as primaries, then replicas."""

    def __init__(self, replicas: int = 0, **options: str) -> None:
        chosen = _OPTIONS | {key.replace("_", "-"): value for key, value in options.items()}
        self.nodes = [
            ValkeyServer(home=IN_MEMORY, **chosen | {"cluster-port": str(free_port())})
            for _ in range(3 * (1 + replicas))
        ]

    def start(self) -> ClusterStore:
        """Start the nodes, have them meet where they never did, and wait until all agree."""
        for node in self.nodes:
            if node.process is None:
                node.start()
        if b"cluster_known_nodes:1\r" in self.nodes[0].command("CLUSTER", "INFO"):
            self._join()
        eventually(lambda: all(map(self._agrees, self.nodes)), "the nodes know each other", 30)
        return self

    def _join(self) -> None:
        bounds = (0, 5461, 10923, _SLOTS)
        for number, node in enumerate(self.nodes[:3]):
            node.command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            place = ("127.0.0.1", node.port, node.options["cluster-port"])
            self.nodes[0].command("CLUSTER", "MEET", *place)
        eventually(lambda: all(map(self._agrees, self.nodes)), "the nodes know each other", 30)
        for number, node in enumerate(self.nodes[3:]):
            node.command("CLUSTER", "REPLICATE", self.id_of(self.nodes[number % 3]))
        eventually(lambda: all(map(_in_step, self.nodes[3:])), "replicas are connected", 30)

    def stop(self) -> None:
        """End all nodes as an operator would."""
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        """kill -9 for all nodes."""
        for node in self.nodes:
            node.kill()

    def freeze(self) -> None:
        """Have all nodes stand still, their connections open."""
        for node in self.nodes:
            node.freeze()

    def thaw(self) -> None:
        """Let them go on."""
        for node in self.nodes:
            node.thaw()

    def restart(self) -> None:
        """Stop all, and start them again."""
        self.stop()
        self.start()

    def _agrees(self, node: ValkeyServer) -> bool:
        lines = node.command("CLUSTER", "INFO").decode().splitlines()
        known = f"cluster_known_nodes:{len(self.nodes)}"
        assigned = f"cluster_slots_assigned:{_SLOTS}"
        return {known, assigned, "cluster_state:ok"} <= set(lines)

    def id_of(self, node: ValkeyServer) -> str:
        """The name by which the others know a node."""
        return str(node.command("CLUSTER", "MYID").decode())

    @property
    def url(self) -> str:
        """As the setting has it."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes[:3])}"

    @property
    def primaries(self) -> list[ValkeyServer]:
        """Those that live and are primary now."""
        alive = [node for node in self.nodes if node.process is not None]
        return [node for node in alive if node.command("ROLE")[0] == b"master"]

    def owner_of(self, key: str | bytes) -> ValkeyServer:
        """Who serves a key."""
        slot = slot_of(key)
        for node in self.nodes:
            if node.process is None:
                continue
            for first, last, (_, port, *_), *_ in node.command("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return next(one for one in self.nodes if one.port == port)
        raise RuntimeError(f"nobody serves slot {slot}")

    def command(self, *arguments: str | bytes | int) -> Any:
        """One command to whoever serves its key; INFO and CONFIG to all primaries."""
        if arguments[0] in ("CONFIG", "INFO"):
            answers = [node.command(*arguments) for node in self.primaries]
            return b"".join(answers) if arguments[0] == "INFO" else answers[0]
        found: list[Any] = []

        def said() -> bool:
            with contextlib.suppress(OSError, RuntimeError):
                found.append(self.owner_of(_text(arguments[1])).command(*arguments))
            return bool(found)

        eventually(said, "somebody answers", 20)
        return found[0]

    def flush(self) -> None:
        """Forget all data and all scripts."""
        for node in self.primaries:
            node.flush()

    def remove(self) -> None:
        """End all, and delete their data."""
        for node in self.nodes:
            node.remove()


def _text(key: str | bytes | int) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


def _in_step(node: ValkeyServer) -> bool:
    return b"master_link_status:up" in node.command("INFO", "replication")
