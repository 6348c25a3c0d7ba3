"""Store: its memory and file, how fast it answers, and the broker beside it."""

from deploy.grafana.panels import GOOD_ABOVE, Board, Panel, quantile

BOARD = Board(
    uid="relay-store",
    title="Store",
    says="Memory, the append-only file, calls by script, failures; and the broker.",
    rows=[
        (
            "Is it well?",
            [
                Panel(
                    "stat",
                    "Store",
                    "1: the exporter can read it.",
                    [("min(relay_store_up)", "")],
                    width=6,
                    steps=GOOD_ABOVE,
                ),
                Panel(
                    "stat",
                    "Writes",
                    "1: the store could write its file the last time.",
                    [("min(relay_store_persisting)", "")],
                    width=6,
                    steps=GOOD_ABOVE,
                ),
                Panel(
                    "stat",
                    "Memory used, share",
                    "Of maxmemory. Intake stops at store.memory_high.",
                    [
                        (
                            "max(relay_store_memory_used_bytes) / "
                            "(max(relay_store_memory_max_bytes) > 0)",
                            "",
                        )
                    ],
                    "percentunit",
                    width=6,
                    steps=((None, "green"), (0.7, "orange"), (0.85, "red")),
                ),
                Panel(
                    "stat",
                    "Broker",
                    "1: the exporter can read it.",
                    [("min(relay_broker_up)", "")],
                    width=6,
                    steps=GOOD_ABOVE,
                ),
            ],
        ),
        (
            "Memory and file",
            [
                Panel(
                    "graph",
                    "Memory",
                    "Used, and at most.",
                    [
                        ("max(relay_store_memory_used_bytes)", "used"),
                        ("max(relay_store_memory_max_bytes)", "maxmemory"),
                    ],
                    "bytes",
                ),
                Panel(
                    "graph",
                    "Memory used, share, by primary",
                    "Intake stops when one of them is above store.memory_high.",
                    [
                        (
                            "max by (node) (relay_store_node_memory_used_bytes) / "
                            "(max by (node) (relay_store_node_memory_max_bytes) > 0)",
                            "{{node}}",
                        )
                    ],
                    "percentunit",
                ),
                Panel(
                    "graph",
                    "Append-only file",
                    "It grows until the store rewrites it. The disk is its machine's to watch.",
                    [("max(relay_store_file_bytes)", "file")],
                    "bytes",
                ),
                Panel(
                    "graph",
                    "Primaries that answer",
                    "One unless the store is a cluster; each has its own partitions.",
                    [("max by (node) (relay_store_node_up)", "{{node}}")],
                ),
                Panel(
                    "graph",
                    "Events in the outbox",
                    "Those kept for a while after use included.",
                    [("max(relay_events_length)", "events")],
                ),
            ],
        ),
        (
            "Tenants",
            [
                Panel(
                    "graph",
                    "Memory by tenant",
                    "What open messages take up, of the tenants with most. A tenant's share is "
                    "enforced once half of what may be used is.",
                    [("max by (tenant) (relay_lane_stored_bytes)", "{{tenant}}")],
                    "bytes",
                    width=12,
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Share used by tenant",
                    "Of what one tenant may take up (store.tenant_share); at 100 % it alone is "
                    "refused, if the store is scarce.",
                    [
                        (
                            'max by (tenant) (relay_lane_stored_bytes{tenant!="other"}) / '
                            "scalar(max(relay_lane_share_bytes) > 0)",
                            "{{tenant}}",
                        )
                    ],
                    "percentunit",
                    width=12,
                    steps=((None, "transparent"), (1, "red")),
                ),
            ],
        ),
        (
            "Calls",
            [
                Panel(
                    "graph",
                    "Round trip",
                    "Network and load, without the disk.",
                    [("max(relay_store_round_trip_seconds)", "the exporter's")],
                    "s",
                ),
                Panel(
                    "graph",
                    "A call takes, p99",
                    "By script; admit and settle wait for the disk.",
                    [(quantile(0.99, "relay_store_seconds", "call") + " > 0", "{{call}}")],
                    "s",
                ),
                Panel(
                    "graph",
                    "Calls by script",
                    "A second.",
                    [
                        (
                            "sum by (call) (rate(relay_store_seconds_count[RATE])) > 0",
                            "{{call}}",
                        )
                    ],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Calls that failed",
                    "Most are said again and then work.",
                    [
                        (
                            "sum by (reason) (rate(relay_store_failures_total[RATE]))",
                            "{{reason}}",
                        )
                    ],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Refused because of the store",
                    "full: above store.memory_high. store: no answer in time.",
                    [
                        (
                            "sum by (reason) (rate("
                            'relay_messages_refused_total{reason=~"full|store"}[RATE]))',
                            "{{reason}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "Records that cannot be read",
                    "Written by a newer version of Relay, or damaged: somebody has to look.",
                    [("sum(increase(relay_records_unreadable_total[RATE]))", "records")],
                ),
                Panel(
                    "graph",
                    "Replicas have it in",
                    "Only with store.durability = replicated: from asking to all having it.",
                    [(quantile(0.99, "relay_store_replication_seconds"), "p99")],
                    "s",
                ),
                Panel(
                    "graph",
                    "Replicas too slow",
                    "Waited for again, and messages withdrawn and answered with 451 for it.",
                    [
                        ("sum(rate(relay_store_replication_short_total[RATE]))", "waited again"),
                        ("sum(rate(relay_messages_withdrawn_total[RATE]))", "withdrawn"),
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "Tasks in the broker",
                    "Wake-ups that nobody has taken yet.",
                    [("max(relay_broker_tasks)", "waiting")],
                ),
            ],
        ),
    ],
)
