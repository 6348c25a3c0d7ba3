"""What operators ask of workers over Celery's remote control: `relay_attempts`, `relay_hold`."""

from __future__ import annotations

from typing import Any

from celery.worker.control import control_command, inspect_command

from relay.errors import RelayError
from workers import runtime

#: The hub stands still while a command is answered, so an engine gets this long, in seconds.
_PATIENCE = 2.0


@inspect_command(args=[("limit", int)], signature="[N=100]")
def relay_attempts(state: Any, limit: int = 100) -> Any:
    """The attempts of this worker's engine; they live on after the task that began them."""
    running = runtime.current()
    try:
        attempts = running.loop.call(running.engine.attempts, _PATIENCE)
    except TimeoutError:
        return {"error": "the engine gave no answer in time"}
    return {"attempts": attempts[:limit], "total": len(attempts)}


@control_command(
    args=[("queue", str), ("release", str), ("tenant", str)],
    signature="<domain> [release=no] [tenant='']",
)
def relay_hold(state: Any, queue: str = "", release: str = "", tenant: str = "") -> Any:
    """Hold a queue's or a tenant's deliveries, or release them again."""
    running = runtime.current()
    on = str(release).lower() not in ("1", "yes", "true", "release", "on")
    work = running.loop.submit(running.engine.hold(queue=queue, tenant=tenant, on=on))
    try:
        work.result(_PATIENCE)
    except TimeoutError:
        return {"error": "the engine gave no answer in time; it goes on with it"}
    except (RelayError, ValueError) as error:
        return {"error": str(error)}
    return {"ok": f"{'held' if on else 'released'}: {queue or f'tenant {tenant}'}"}
