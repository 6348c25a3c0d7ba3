"""Queue: how old what waits is, and what becomes of leases."""

from deploy.grafana.panels import Board, Panel, quantile

BOARD = Board(
    uid="relay-queue",
    title="Queue",
    says="How much waits and since when, retries, what was given up, and what becomes of leases.",
    rows=[
        (
            "What waits",
            [
                Panel(
                    "heat",
                    "Deliveries by age",
                    "qshape over time: a band that climbs is mail that nobody takes; one that "
                    "stays low is new mail in ordinary traffic.",
                    [("sum by (le) (relay_queue_age_seconds_bucket)", "{{le}}")],
                    "s",
                    width=12,
                ),
                Panel(
                    "graph",
                    "Deliveries by state",
                    "later: not due. ready: nobody has begun. leased: under way. held: somebody "
                    "has to look.",
                    [('max by (state) (relay_queue_deliveries{state!="other"})', "{{state}}")],
                    stacked=True,
                    width=12,
                ),
                Panel(
                    "graph",
                    "Oldest",
                    "In any state, and without those that are held.",
                    [
                        ("max(relay_queue_oldest_seconds)", "any"),
                        ("max(relay_queue_oldest_active_seconds)", "not held"),
                    ],
                    "s",
                ),
                Panel(
                    "graph",
                    "Queues parked and overdue",
                    "parked: the site takes nothing just now. overdue: nobody rings them; that "
                    "is a fault.",
                    [
                        ("max(relay_queue_parked)", "parked"),
                        ("max(relay_queue_overdue)", "overdue"),
                    ],
                ),
                Panel(
                    "graph",
                    "Parked, times a second",
                    "How often a queue was parked: sites that die and come back.",
                    [("sum(rate(relay_queues_parked_total[RATE]))", "parked")],
                    "ops",
                ),
            ],
        ),
        (
            "Retries and ends",
            [
                Panel(
                    "graph",
                    "Attempts",
                    "All, and recipients put off by them.",
                    [
                        ("sum(rate(relay_attempts_total[RATE]))", "attempts"),
                        (
                            'sum(rate(relay_outcomes_total{outcome="deferred"}[RATE]))',
                            "deferred",
                        ),
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "Given up",
                    "Recipients that got nothing: bounced, too old, or cancelled by somebody.",
                    [
                        (
                            "sum by (outcome) (rate(relay_outcomes_total"
                            '{outcome=~"bounced|expired|cancelled"}[RATE]))',
                            "{{outcome}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "Set aside by Relay",
                    "poison: workers died of it. content: it is missing.",
                    [
                        (
                            "sum by (reason) (increase(relay_deliveries_held_total[RATE]))",
                            "{{reason}}",
                        )
                    ],
                ),
                Panel(
                    "graph",
                    "An attempt takes",
                    "At a host, whichever it is.",
                    [
                        (quantile(0.5, "relay_attempt_seconds"), "p50"),
                        (quantile(0.99, "relay_attempt_seconds"), "p99"),
                    ],
                    "s",
                ),
                Panel(
                    "graph",
                    "Outbox",
                    "How far the consumers of events are behind, and that as their processes "
                    "see it.",
                    [
                        ("max by (consumer) (relay_outbox_lag_seconds)", "{{consumer}}"),
                        (
                            "max by (consumer) (relay_projector_lag_seconds)",
                            "{{consumer}}, projector",
                        ),
                    ],
                    "s",
                ),
                Panel(
                    "graph",
                    "Events and DSNs",
                    "Events applied, and DSNs that the queue would not take.",
                    [
                        (
                            "sum by (consumer) (rate(relay_projector_events_total[RATE]))",
                            "{{consumer}}",
                        ),
                        ("sum(rate(relay_dsns_refused_total[RATE]))", "DSNs refused"),
                    ],
                    "ops",
                ),
            ],
        ),
        (
            "Leases",
            [
                Panel(
                    "graph",
                    "Leases",
                    "Granted, renewed while their attempt ran, handed back unused.",
                    [
                        ("sum(rate(relay_leases_granted_total[RATE]))", "granted"),
                        ("sum(rate(relay_leases_extended_total[RATE]))", "renewed"),
                        ("sum(rate(relay_leases_released_total[RATE]))", "handed back"),
                    ],
                    "ops",
                    width=12,
                ),
                Panel(
                    "graph",
                    "Leases lost",
                    "All of these are 0 where no worker dies or stands still.",
                    [
                        ("sum(increase(relay_leases_lost_total[RATE]))", "found lost"),
                        ("sum(increase(relay_leases_reclaimed_total[RATE]))", "reclaimed"),
                        ("sum(increase(relay_settles_fenced_total[RATE]))", "outcomes fenced"),
                        (
                            "sum(increase(relay_possible_doubles_total[RATE]))",
                            "possible doubles",
                        ),
                    ],
                    width=12,
                ),
            ],
        ),
    ],
)
