"""The errors Relay raises, and what whoever catches one does.

    RelayError
    ├── ConfigError            at start only: print every problem, exit with 2
    ├── InvalidMessage         no message can be made of what was given: `problems` names each field
    ├── AccessDenied           who asks is not known, or may not do this: 401 / 403
    ├── TooMuch                more than a quota or limit allows: wait `retry_after` seconds; 429
    ├── SomeRefused            of many messages some were not accepted: `results` has each
    ├── SubmissionRefused      nothing was accepted: give the reply to the client
    │   ├── IdempotencyConflict    the key already stands for another message
    │   └── ShareExceeded          its tenant has more than its share of the store already
    ├── StoreUnavailable       the call may or may not have been applied: say it again with
    │   │                      the same tokens, or answer 451 / 503
    │   ├── StoreFull          refused at maxmemory, nothing was applied: 452 / 503
    │   └── NotReplicated      applied, but too few replicas have it: 451 / 503
    ├── NoSuchMessage          no record with that id, or its time in the store is over
    ├── UnreadableRecord       leave what is stored as it is; the others go on
    │   ├── NewerRecord            a newer version of Relay wrote it: leave it to its process
    │   └── DamagedRecord          no version of Relay wrote it so
    ├── BadCredential          its terms cannot be: tell every problem
    ├── CredentialExists       choose another name, or change the one there is
    ├── NoSuchCredential       nobody has that name
    └── IllegalTransition      a bug: a delivery was moved along an edge that does not exist

A failed delivery is no error: it is an outcome (`relay.mail.outcome`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.mail.reply import Reply


class RelayError(Exception):
    """The root of everything Relay raises on purpose."""


class ConfigError(RelayError):
    """The settings cannot be used; `problems` names every key that is wrong and the remedy."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class InvalidMessage(RelayError, ValueError):
    """No message can be made of what was given; nothing was accepted.

    `problems` are pairs of a field's path, such as `to[1]`, and what is wrong with it.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field} {detail}".strip() for field, detail in problems))
        self.problems = tuple(problems)


class AccessDenied(RelayError):
    """Who asks is not known (`known` is false), or may not do what was asked."""

    def __init__(self, why: str, *, known: bool = True) -> None:
        super().__init__(why)
        self.known = known


class TooMuch(RelayError):
    """More than a quota or a limit allows; `retry_after` is in seconds, 0 where it is not known."""

    def __init__(self, why: str, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class SomeRefused(RelayError):
    """Of many messages some were not accepted: `results` has an id or an error for each."""

    def __init__(self, results: Sequence[object]) -> None:
        refused = [one for one in results if isinstance(one, Exception)]
        super().__init__(f"{len(refused)} of {len(results)} messages not accepted: {refused[0]}")
        self.results = tuple(results)


class SubmissionRefused(RelayError):
    """A message was not accepted; `reply` is the SMTP reply that says why (RFC 5321 4.2)."""

    def __init__(self, reply: "Reply") -> None:
        super().__init__(str(reply))
        self.reply = reply


class IdempotencyConflict(SubmissionRefused):
    """The idempotency key was used for a message with another fingerprint."""


class ShareExceeded(SubmissionRefused):
    """The tenant's messages take up more of the store than is its share, while room is scarce."""


class StoreUnavailable(RelayError):
    """The store gave no answer in time; what was asked may or may not have been applied."""


class StoreFull(StoreUnavailable):
    """The store is at its maxmemory and refused the call; nothing was applied."""


class NotReplicated(StoreUnavailable):
    """Too few replicas have what was applied, and the patience for more is at its end."""


class NoSuchMessage(RelayError):
    """The store has no record of that message id."""


class UnreadableRecord(RelayError):
    """What is stored cannot be read by this process, and is left untouched."""


class NewerRecord(UnreadableRecord):
    """A newer version of Relay wrote it."""


class DamagedRecord(UnreadableRecord):
    """No version of Relay wrote it so."""


class BadCredential(RelayError):
    """A credential cannot be so; `problems` names every field that is wrong and the remedy."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class CredentialExists(RelayError):
    """There is a credential of that kind and name already."""


class NoSuchCredential(RelayError):
    """There is no credential of that kind and name."""


class IllegalTransition(RelayError):
    """A delivery was moved along an edge that the lifecycle does not have."""
