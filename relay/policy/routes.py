"""The route table: which domains are handed to a smart host instead of to the hosts of their MX."""

from __future__ import annotations

from collections.abc import Mapping

from relay.policy.endpoint import Endpoint, parse_endpoint
from relay.policy.names import normal

#: The key that stands for every domain that has no entry of its own.
EVERY_DOMAIN = "*"


class RouteTable:
    """Domain or `*` -> host:port or [address]:port; a domain's own entry wins.

    Subdomains are not included. `localhost` is 127.0.0.1, which no DNS is asked for (RFC 6761
    section 6.3). Raises ValueError for what is no host:port.
    """

    def __init__(self, routes: Mapping[str, str], default_port: int) -> None:
        self._routes = {
            normal(domain): _local(parse_endpoint(target, default_port))
            for domain, target in routes.items()
        }
        #: The addresses that stand in the table instead of names.
        self.addresses = frozenset(
            endpoint.host for endpoint in self._routes.values() if endpoint.is_address
        )

    def find(self, domain: str) -> Endpoint | None:
        """The smart host for a domain, None where its MX decides."""
        return self._routes.get(domain) or self._routes.get(EVERY_DOMAIN)


def _local(endpoint: Endpoint) -> Endpoint:
    return Endpoint("127.0.0.1", endpoint.port) if endpoint.host == "localhost" else endpoint
