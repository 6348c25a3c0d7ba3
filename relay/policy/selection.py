"""Which of the deliveries in the store an operator means."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct, structs


class Candidate(Struct, frozen=True):
    """A delivery that has no outcome yet, as far as a selection looks at it."""

    message: str
    domain: str
    tenant: str
    #: When it was accepted, a Unix time in ms.
    accepted_ms: int
    tags: Collection[str] = ()


class Selection(Struct, frozen=True, kw_only=True):
    """Deliveries to which all that is said here applies; what says nothing takes none.

    Of several ids, domains, sites, tenants or tags one is enough. Sites are the DNS's to say:
    `at_domains` puts the domains that lead to them in their place.
    """

    messages: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    #: Accepted before and not before these Unix times in ms; 0: at any time.
    before_ms: int = 0
    since_ms: int = 0
    #: All there are, as far as nothing else is said.
    everything: bool = False

    @property
    def is_empty(self) -> bool:
        """Nothing is said."""
        return not (self._narrows or self.everything)

    @property
    def is_whole(self) -> bool:
        """Whole queues or tenants are meant, and nothing of them in particular."""
        picked = self.messages or self.tags or self.before_ms or self.since_ms
        return bool(self.domains) != bool(self.tenants) and not picked

    @property
    def anywhere(self) -> Selection:
        """The same at whatever site."""
        return structs.replace(self, sites=frozenset(), everything=True)

    def at_domains(self, domains: Collection[str]) -> Selection | None:
        """The same with the domains that lead to its sites in their place; None where none does."""
        left = self.domains.intersection(domains) if self.domains else frozenset(domains)
        return structs.replace(self, sites=frozenset(), domains=left) if left else None

    @property
    def _narrows(self) -> bool:
        lists = (self.messages, self.domains, self.sites, self.tenants, self.tags)
        return any(lists) or bool(self.before_ms or self.since_ms)

    def takes(self, one: Candidate) -> bool:
        """Whether the delivery is meant."""
        return (
            not self.is_empty
            and (not self.messages or one.message in self.messages)
            and (not self.domains or one.domain in self.domains)
            and (not self.tenants or one.tenant in self.tenants)
            and (not self.tags or not self.tags.isdisjoint(one.tags))
            and (not self.before_ms or one.accepted_ms < self.before_ms)
            and one.accepted_ms >= self.since_ms
        )

    def __str__(self) -> str:
        """As the options of the command line say it."""
        said = [
            f"--{name} {value}"
            for name, values in (
                ("id", self.messages),
                ("domain", self.domains),
                ("site", self.sites),
                ("tenant", self.tenants),
                ("tag", self.tags),
            )
            for value in sorted(values)
        ]
        said += [f"--before-ms {self.before_ms}"] if self.before_ms else []
        said += [f"--since-ms {self.since_ms}"] if self.since_ms else []
        return " ".join(said) or ("--all" if self.everything else "")
