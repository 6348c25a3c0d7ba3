"""Destinations: which site takes mail, which does not, and what it says."""

from deploy.grafana.panels import Board, Panel, quantile

_SITE = 'site=~"$site"'

BOARD = Board(
    uid="relay-destinations",
    title="Destinations",
    says="Per site: rate, deferrals by what the reply is about, latency, window, breaker. The "
    "sites that carry most have names; all others are `other`.",
    rows=[
        (
            "Sites",
            [
                Panel(
                    "table",
                    "Sites now",
                    "Recipients a second by outcome, connections against the window, and the "
                    "breaker: dead is 1 while nothing begins.",
                    [
                        (
                            "sum by (site) (rate("
                            f'relay_path_recipients_total{{{_SITE}, outcome="delivered"}}[5m]))',
                            "",
                        ),
                        (
                            "sum by (site) (rate("
                            f'relay_path_recipients_total{{{_SITE}, outcome="deferred"}}[5m]))',
                            "",
                        ),
                        (
                            "sum by (site) (rate("
                            f'relay_path_recipients_total{{{_SITE}, outcome="bounced"}}[5m]))',
                            "",
                        ),
                        (f"max by (site) (relay_path_connections{{{_SITE}}})", ""),
                        (f"max by (site) (relay_path_window{{{_SITE}}})", ""),
                        (f"max by (site) (relay_path_waiting{{{_SITE}}})", ""),
                        (
                            f'max by (site) (relay_path_breaker{{{_SITE}, state="dead"}})',
                            "",
                        ),
                    ],
                    width=24,
                    columns={
                        "site": "Site",
                        "Value #A": "Delivered/s",
                        "Value #B": "Deferred/s",
                        "Value #C": "Bounced/s",
                        "Value #D": "Connections",
                        "Value #E": "Window",
                        "Value #F": "Queues waiting",
                        "Value #G": "Dead",
                    },
                ),
                Panel(
                    "graph",
                    "Delivered by site",
                    "Recipients a second.",
                    [
                        (
                            "sum by (site) (rate("
                            f'relay_path_recipients_total{{{_SITE}, outcome="delivered"}}[RATE]))',
                            "{{site}}",
                        )
                    ],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Deferred by site",
                    "Recipients a second, at each attempt again.",
                    [
                        (
                            "sum by (site) (rate("
                            f'relay_path_recipients_total{{{_SITE}, outcome="deferred"}}[RATE]))',
                            "{{site}}",
                        )
                    ],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Breaker: dead sites",
                    "1 while nothing begins at a site. One connection tries it from time to time.",
                    [
                        (
                            f'max by (site) (relay_path_breaker{{{_SITE}, state="dead"}})',
                            "{{site}} dead",
                        ),
                        (
                            f'max by (site) (relay_path_breaker{{{_SITE}, state="probe"}})',
                            "{{site}} probe",
                        ),
                    ],
                ),
            ],
        ),
        (
            "What sites say",
            [
                Panel(
                    "graph",
                    "Deferred and bounced, by what the reply is about",
                    "policy: about us or the content. full, mailbox, address: about the "
                    "recipient. network: no answer.",
                    [
                        (
                            f"sum by (category) (rate(relay_path_failures_total{{{_SITE}}}[RATE]))",
                            "{{category}}",
                        )
                    ],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Outcomes by class of reply",
                    "none: no host answered, or an operator decided.",
                    [
                        (
                            "sum by (outcome, reply) (rate(relay_outcomes_total[RATE])) > 0",
                            "{{outcome}} {{reply}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "Deferred and bounced in all, by what the reply is about",
                    "Of every site, those where no host was asked included.",
                    [
                        (
                            "sum by (outcome, category) (rate(relay_failures_total[RATE])) > 0",
                            "{{outcome}} {{category}}",
                        )
                    ],
                    "ops",
                ),
            ],
        ),
        (
            "Latency and connections",
            [
                Panel(
                    "graph",
                    "An attempt takes, p95 by site",
                    "From the first command on a session to the outcome: a tarpit shows here.",
                    [
                        (
                            quantile(0.95, f"relay_path_attempt_seconds{{{_SITE}}}", "site"),
                            "{{site}}",
                        )
                    ],
                    "s",
                ),
                Panel(
                    "graph",
                    "Connections and window",
                    "A window that stays small is one that the site refuses to widen.",
                    [
                        (f"max by (site) (relay_path_connections{{{_SITE}}})", "{{site}}"),
                        (f"max by (site) (relay_path_window{{{_SITE}}})", "{{site}} window"),
                    ],
                ),
                Panel(
                    "graph",
                    "Connections not granted",
                    "Asked for and refused, by reason: throttled by window or rate, breaker dead.",
                    [
                        (
                            f"sum by (reason) (rate(relay_path_refused_total{{{_SITE}}}[RATE]))",
                            "{{reason}}",
                        )
                    ],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Sessions opened and failed",
                    "Failures by how far the session had come.",
                    [
                        ("sum(rate(relay_connections_opened_total[RATE]))", "opened"),
                        (
                            "sum by (phase) (rate(relay_connections_failed_total[RATE])) > 0",
                            "failed: {{phase}}",
                        ),
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "Sessions used again, share",
                    "Transactions on a session that had carried one before.",
                    [
                        (
                            "sum(rate(relay_sessions_reused_total[RATE])) / "
                            "(sum(rate(relay_attempts_total[RATE])) > 0)",
                            "reused",
                        )
                    ],
                    "percentunit",
                ),
                Panel(
                    "graph",
                    "TLS by version and level",
                    "authenticated: the certificate was verified. none: in the clear.",
                    [
                        (
                            "sum by (version, level) (rate(relay_tls_sessions_total[RATE])) > 0",
                            "{{version}} {{level}}",
                        )
                    ],
                    "ops",
                ),
            ],
        ),
        (
            "DNS",
            [
                Panel(
                    "graph",
                    "A look-up takes",
                    "Those that the cache does not know.",
                    [
                        (quantile(0.5, "relay_dns_seconds"), "p50"),
                        (quantile(0.99, "relay_dns_seconds"), "p99"),
                    ],
                    "s",
                ),
                Panel(
                    "graph",
                    "Queries by result",
                    "servfail and timeout defer; nxdomain bounces.",
                    [
                        (
                            "sum by (result) (rate(relay_dns_queries_total[RATE]))",
                            "{{result}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "Answered from the cache",
                    "Look-ups a second that asked nobody.",
                    [("sum(rate(relay_dns_cache_hits_total[RATE]))", "hits")],
                    "ops",
                ),
                Panel(
                    "graph",
                    "MTA-STS policies asked for",
                    "By result. One that was fetched before holds until its time is over.",
                    [
                        (
                            "sum by (result) (rate(relay_mta_sts_fetches_total[RATE]))",
                            "{{result}}",
                        )
                    ],
                    "ops",
                ),
            ],
        ),
    ],
    variables=[("site", "relay_path_recipients_total")],
)
