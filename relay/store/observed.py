"""How calls to the store go, as metrics: how long they take, and why they get no good answer."""

from __future__ import annotations

from relay import log, metrics
from relay.errors import NewerRecord, UnreadableRecord
from relay.metrics.labels import STORE_CALLS
from relay.store.wire import ConnectionLost, NoAnswer, ReplyError

_log = log.logger("relay.store")
_SECONDS = {name: metrics.STORE_SECONDS[name] for name in STORE_CALLS}
_COMMAND, _OTHER = metrics.STORE_SECONDS["command"], metrics.STORE_SECONDS[metrics.OTHER]
#: Error replies of a server that is not, or not just now, the one to ask.
_MOVED = frozenset(("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY"))


def answered(name: str, seconds: float, _repeats: int) -> None:
    """A call was answered; a script is known by its name, a command by capitals."""
    observed = _SECONDS.get(name)
    if observed is None:
        observed = _COMMAND if name.isupper() else _OTHER
    observed.observe(seconds)


def failed(error: Exception) -> None:
    """A call got no good answer, or nobody could be connected to; it may well be said again."""
    metrics.STORE_FAILED[_reason(error)].inc()


def gave_up() -> None:
    """A call's patience ended before it could be said."""
    metrics.STORE_FAILED["timeout"].inc()


def unreadable(error: UnreadableRecord, **about: str) -> None:
    """Something stored was met that this process cannot read; it was left as it is."""
    reason = "newer" if isinstance(error, NewerRecord) else "damaged"
    metrics.UNREADABLE[reason].inc()
    _log.error("what is stored cannot be read", reason=reason, error=str(error), **about)


def _reason(error: Exception) -> str:
    if isinstance(error, NoAnswer):
        return "timeout"
    if isinstance(error, ConnectionLost):
        return "connection"
    if not isinstance(error, ReplyError):
        return metrics.OTHER
    if error.word == "OOM":
        return "full"
    return "moved" if error.word in _MOVED else "reply"
