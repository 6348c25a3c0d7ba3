"""Workers: what the processes are busy with."""

from deploy.grafana.panels import Board, Panel, quantile

_ROLE = 'role=~"$role"'

BOARD = Board(
    uid="relay-workers",
    title="Workers",
    says="CPU, memory, Celery tasks, sessions and lag, by process.",
    rows=[
        (
            "Processes",
            [
                Panel(
                    "graph",
                    "CPU by process",
                    "1 is a core: a worker that is at it all the time wants a second process.",
                    [
                        (
                            f"rate(process_cpu_seconds_total{{{_ROLE}}}[RATE])",
                            "{{role}} {{instance}}",
                        )
                    ],
                    "percentunit",
                ),
                Panel(
                    "graph",
                    "Memory by process",
                    "Resident.",
                    [
                        (
                            f"process_resident_memory_bytes{{{_ROLE}}}",
                            "{{role}} {{instance}}",
                        )
                    ],
                    "bytes",
                ),
                Panel(
                    "graph",
                    "Event loop lag, p99",
                    "How late a process does what is due. Above 0.1 s everything in it is slow.",
                    [
                        (
                            "histogram_quantile(0.99, sum by (le, role, instance) (rate("
                            f"relay_event_loop_lag_seconds_bucket{{{_ROLE}}}[RATE])))",
                            "{{role}} {{instance}}",
                        )
                    ],
                    "s",
                    steps=((None, "transparent"), (0.1, "red")),
                ),
                Panel(
                    "graph",
                    "Files and sockets, share of the limit",
                    "Each session is one. At 1 nothing more can be opened.",
                    [
                        (
                            f"process_open_fds{{{_ROLE}}} / process_max_fds{{{_ROLE}}}",
                            "{{role}} {{instance}}",
                        )
                    ],
                    "percentunit",
                ),
                Panel(
                    "graph",
                    "Processes up",
                    "As Prometheus reaches them.",
                    [(f"sum by (role) (up{{{_ROLE}}})", "{{role}}")],
                ),
                Panel(
                    "graph",
                    "Garbage collections",
                    "Of the oldest generation: each stops the process for a moment.",
                    [
                        (
                            "sum by (role) (rate(python_gc_collections_total"
                            f'{{{_ROLE}, generation="2"}}[RATE]))',
                            "{{role}}",
                        )
                    ],
                    "ops",
                ),
            ],
        ),
        (
            "Attempts and sessions",
            [
                Panel(
                    "graph",
                    "Deliveries in hand",
                    "Leased by each worker.",
                    [(f"relay_attempts_open{{{_ROLE}}}", "{{instance}}")],
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Sessions with hosts",
                    "Open, idle ones included.",
                    [(f"relay_connections_open{{{_ROLE}}}", "{{instance}}")],
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Attempts by worker",
                    "Work is shared when the lines lie together.",
                    [(f"rate(relay_attempts_total{{{_ROLE}}}[RATE])", "{{instance}}")],
                    "ops",
                    stacked=True,
                ),
            ],
        ),
        (
            "Celery",
            [
                Panel(
                    "graph",
                    "Tasks that ended",
                    "A drain only hands queues over: it says nothing of mail.",
                    [
                        (
                            "sum by (task, state) (rate(relay_celery_tasks_total[RATE])) > 0",
                            "{{task}} {{state}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "A task takes, p99",
                    "The attempts that it began are not in it.",
                    [(quantile(0.99, "relay_celery_seconds", "task"), "{{task}}")],
                    "s",
                ),
                Panel(
                    "graph",
                    "Tasks in the broker",
                    "Wake-ups that nobody has taken yet.",
                    [("max(relay_broker_tasks)", "waiting")],
                ),
                Panel(
                    "graph",
                    "Wake-ups",
                    "Queues named in them, and those that could not be published: the pump rings "
                    "these again.",
                    [
                        ("sum(rate(relay_doorbell_tasks_total[RATE]))", "published"),
                        ("sum(rate(relay_doorbell_queues_total[RATE]))", "queues named"),
                        ("sum(rate(relay_doorbell_dropped_total[RATE]))", "queues dropped"),
                    ],
                    "ops",
                    width=12,
                ),
                Panel(
                    "graph",
                    "Workers that reported",
                    "To the store, within 30 seconds.",
                    [("max(relay_workers)", "workers")],
                    width=12,
                ),
            ],
        ),
    ],
    variables=[("role", "relay_build_info")],
)
