"""Overview: is mail flowing, and if not, where to look."""

from deploy.grafana.panels import GOOD_ABOVE, Board, Panel, quantile

BOARD = Board(
    uid="relay-overview",
    title="Overview",
    says="Is mail flowing? Rates, backlog and the four golden signals of the whole fleet.",
    rows=[
        (
            "Is mail flowing?",
            [
                Panel(
                    "stat",
                    "Accepted",
                    "Messages that became durable, a second.",
                    [("sum(rate(relay_messages_accepted_total[RATE]))", "")],
                    "ops",
                    width=3,
                ),
                Panel(
                    "stat",
                    "Delivered",
                    "Recipients whose host took responsibility, a second.",
                    [('sum(rate(relay_outcomes_total{outcome="delivered"}[RATE]))', "")],
                    "ops",
                    width=3,
                ),
                Panel(
                    "stat",
                    "Backlog",
                    "Deliveries in the queue, whatever they wait for.",
                    [("sum(max by (state) (relay_queue_deliveries))", "")],
                    width=3,
                ),
                Panel(
                    "stat",
                    "Oldest",
                    "Age of the oldest delivery that is not held.",
                    [("max(relay_queue_oldest_active_seconds)", "")],
                    "s",
                    width=3,
                    steps=((None, "green"), (4 * 3600, "orange"), (24 * 3600, "red")),
                ),
                Panel(
                    "stat",
                    "Held",
                    "Deliveries that wait for a person.",
                    [('max(relay_queue_deliveries{state="held"})', "")],
                    width=3,
                    steps=((None, "green"), (1, "orange")),
                ),
                Panel(
                    "stat",
                    "Workers",
                    "Worker processes that reported within 30 seconds.",
                    [("max(relay_workers)", "")],
                    width=3,
                    steps=GOOD_ABOVE,
                ),
                Panel(
                    "stat",
                    "Store",
                    "1: the exporter can read it.",
                    [("min(relay_store_up)", "")],
                    width=3,
                    steps=GOOD_ABOVE,
                ),
                Panel(
                    "stat",
                    "Broker",
                    "1: the exporter can read it.",
                    [("min(relay_broker_up)", "")],
                    width=3,
                    steps=GOOD_ABOVE,
                ),
            ],
        ),
        (
            "The four golden signals",
            [
                Panel(
                    "graph",
                    "Latency: acceptance to first attempt",
                    "What the relay itself adds. It grows when workers are too few, or when "
                    "wake-ups are lost.",
                    [
                        (quantile(0.5, "relay_first_attempt_seconds"), "p50"),
                        (quantile(0.99, "relay_first_attempt_seconds"), "p99"),
                    ],
                    "s",
                    width=12,
                ),
                Panel(
                    "graph",
                    "Latency: acceptance to delivery",
                    "Retries included, so slow and full sites show here.",
                    [
                        (quantile(0.5, "relay_delivered_seconds"), "p50"),
                        (quantile(0.99, "relay_delivered_seconds"), "p99"),
                    ],
                    "s",
                    width=12,
                ),
                Panel(
                    "graph",
                    "Traffic",
                    "Recipients accepted and delivered: the gap is what the backlog grows by.",
                    [
                        ("sum(rate(relay_recipients_accepted_total[RATE]))", "accepted"),
                        (
                            'sum(rate(relay_outcomes_total{outcome="delivered"}[RATE]))',
                            "delivered",
                        ),
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "Errors",
                    "Refused at submission, deferred at each attempt, and given up.",
                    [
                        ("sum(rate(relay_messages_refused_total[RATE]))", "refused"),
                        (
                            "sum by (outcome) (rate("
                            'relay_outcomes_total{outcome!="delivered"}[RATE]))',
                            "{{outcome}}",
                        ),
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "Saturation",
                    "Shares of what there is: memory of the store, and CPU of the busiest process "
                    "of each role.",
                    [
                        (
                            "max(relay_store_memory_used_bytes) / "
                            "(max(relay_store_memory_max_bytes) > 0)",
                            "store memory",
                        ),
                        (
                            "max by (role) (rate(process_cpu_seconds_total[RATE]))",
                            "CPU {{role}}",
                        ),
                    ],
                    "percentunit",
                ),
            ],
        ),
        (
            "Backlog and promises",
            [
                Panel(
                    "graph",
                    "Deliveries by state",
                    "later: not due. ready: nobody has begun. leased: under way. held: somebody "
                    "has to look.",
                    [('max by (state) (relay_queue_deliveries{state!="other"})', "{{state}}")],
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Late first attempts, share",
                    "First attempts later than a minute after acceptance. The promise is 99.5 % in "
                    "time; the line is where an hour uses up a fiftieth of a month's allowance.",
                    [
                        ("relay:late_attempts:ratio_rate5m", "5 min"),
                        ("relay:late_attempts:ratio_rate1h", "1 h"),
                    ],
                    "percentunit",
                    steps=((None, "transparent"), (0.072, "red")),
                ),
                Panel(
                    "graph",
                    "Recipients given up, share",
                    "Bounced and expired among all that became final, unknown addresses left out. "
                    "The promise is 95 % delivered.",
                    [
                        ("relay:failed_recipients:ratio_rate5m", "5 min"),
                        ("relay:failed_recipients:ratio_rate1h", "1 h"),
                    ],
                    "percentunit",
                    steps=((None, "transparent"), (0.3, "red")),
                ),
                Panel(
                    "graph",
                    "Outcomes by tenant",
                    "Recipients an attempt decided or put off, of the tenants that send most.",
                    [
                        (
                            "sum by (tenant, outcome) "
                            '(rate(relay_lane_recipients_total{tenant=~"$tenant"}[RATE]))',
                            "{{tenant}} {{outcome}}",
                        )
                    ],
                    "ops",
                    width=12,
                ),
                Panel(
                    "graph",
                    "Complaints by tenant, share",
                    "Of a day's delivered recipients, as feedback reports told. The line is what "
                    "mailbox providers ask for: 0.1 %.",
                    [
                        (
                            'relay:tenant_complained:ratio_rate1d{tenant=~"$tenant"}',
                            "{{tenant}}",
                        )
                    ],
                    "percentunit",
                    width=12,
                    steps=((None, "transparent"), (0.001, "red")),
                ),
                Panel(
                    "table",
                    "What runs",
                    "Processes by role and version: during an upgrade there are two.",
                    [("count by (role, version, python) (relay_build_info)", "")],
                    width=12,
                    columns={
                        "role": "Role",
                        "version": "Relay",
                        "python": "Python",
                        "Value": "Processes",
                    },
                ),
            ],
        ),
    ],
    variables=[("tenant", "relay_lane_recipients_total")],
)
