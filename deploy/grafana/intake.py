"""Ways in: what clients submit, and what they are refused."""

from deploy.grafana.panels import Board, Panel, quantile

BOARD = Board(
    uid="relay-intake",
    title="Ways in",
    says="What is submitted by which way, and what is refused for which reason.",
    rows=[
        (
            "Submissions",
            [
                Panel(
                    "graph",
                    "Accepted by way",
                    "Messages that became durable. dsn: Relay's own.",
                    [("sum by (way) (rate(relay_messages_accepted_total[RATE]))", "{{way}}")],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Refused by reason",
                    "full and store are ours, the others the clients'. relaying: in no network "
                    "that may submit. tls: a handshake that failed.",
                    [
                        (
                            "sum by (way, reason) (rate(relay_messages_refused_total[RATE])) > 0",
                            "{{way}} {{reason}}",
                        )
                    ],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Repeated by way",
                    "Answered with the id of a message accepted before.",
                    [("sum by (way) (rate(relay_messages_repeated_total[RATE]))", "{{way}}")],
                    "ops",
                ),
                Panel(
                    "graph",
                    "Durable in",
                    "From a message's last octet to its durability: mostly the store's sync.",
                    [
                        (quantile(0.5, "relay_admit_seconds"), "p50"),
                        (quantile(0.99, "relay_admit_seconds"), "p99"),
                    ],
                    "s",
                ),
                Panel(
                    "graph",
                    "Size of messages",
                    "Trace header included.",
                    [
                        (quantile(0.5, "relay_message_bytes"), "p50"),
                        (quantile(0.95, "relay_message_bytes"), "p95"),
                    ],
                    "bytes",
                ),
                Panel(
                    "graph",
                    "Recipients of a message",
                    "On average.",
                    [
                        (
                            "sum(rate(relay_recipients_accepted_total[RATE])) / "
                            "(sum(rate(relay_messages_accepted_total[RATE])) > 0)",
                            "recipients",
                        )
                    ],
                ),
            ],
        ),
        (
            "Clients",
            [
                Panel(
                    "graph",
                    "Connections open",
                    "By process.",
                    [('relay_reception_connections_open{role!="worker"}', "{{instance}}")],
                    stacked=True,
                ),
                Panel(
                    "graph",
                    "Connections",
                    "Greeted, and closed at once because of a limit.",
                    [
                        ("sum(rate(relay_reception_connections_total[RATE]))", "greeted"),
                        (
                            "sum(rate(relay_reception_connections_refused_total[RATE]))",
                            "closed at once",
                        ),
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "TLS with clients",
                    "Handshakes that ended well; those that failed are refused as tls.",
                    [
                        (
                            "sum by (version) (rate(relay_reception_tls_total[RATE]))",
                            "{{version}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "Logins",
                    "By result: passed, or why not. credentials and locked from many addresses are "
                    "guesses.",
                    [
                        (
                            "sum by (kind, result) (rate(relay_logins_total[RATE])) > 0",
                            "{{kind}} {{result}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "graph",
                    "A login takes, p99",
                    "Checking a password is slow on purpose; one that passed is not checked again "
                    "at once.",
                    [(quantile(0.99, "relay_login_seconds"), "p99")],
                    "s",
                ),
                Panel(
                    "graph",
                    "Over quota",
                    "Messages that did not fit into their credential's quotas.",
                    [("sum(rate(relay_quota_refusals_total[RATE]))", "refused")],
                    "ops",
                ),
                Panel(
                    "graph",
                    "HTTP requests",
                    "Answered, a second.",
                    [("sum(rate(relay_http_requests_total[RATE]))", "requests")],
                    "ops",
                ),
                Panel(
                    "graph",
                    "HTTP requests and streams open",
                    "By process of the HTTP API.",
                    [
                        ("relay_http_requests_open", "{{instance}} requests"),
                        ("relay_http_streams_open", "{{instance}} streams"),
                    ],
                ),
                Panel(
                    "graph",
                    "An HTTP request takes, p99",
                    "From its head to the end of its answer.",
                    [(quantile(0.99, "relay_http_seconds"), "p99")],
                    "s",
                ),
                Panel(
                    "stat",
                    "Certificate expires in",
                    "The one that clients are shown, as it was when the process started.",
                    [
                        (
                            "min by (use) (relay_certificate_expires_timestamp_seconds) - time()",
                            "{{use}}",
                        )
                    ],
                    "s",
                    steps=((None, "red"), (7 * 86400, "orange"), (21 * 86400, "green")),
                ),
            ],
        ),
    ],
)
