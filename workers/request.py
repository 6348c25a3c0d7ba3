"""What Celery keeps of a task and shows of it: arguments cut short, and no message's content."""

from __future__ import annotations

from typing import Any

from celery.app.task import Task
from celery.worker import request

#: Characters of a task's arguments in events, logs and `inspect`.
MOST_SHOWN = 120


class Request(request.Request):
    """A request whose arguments are safe to show; `private` on the task hides them altogether."""

    @property
    def argsrepr(self) -> str:
        """The positional arguments, for people."""
        return self._shown(self._argsrepr)  # type: ignore[attr-defined]

    @property
    def kwargsrepr(self) -> str:
        """The keyword arguments, for people."""
        return self._shown(self._kwargsrepr)  # type: ignore[attr-defined]

    def info(self, safe: bool = False) -> Any:
        """For `inspect active` and its like, whose answers go over the broker: always short."""
        shown = {"args": self.argsrepr, "kwargs": self.kwargsrepr}
        return {**super().info(safe=True), **shown}

    def _shown(self, text: str | None) -> str:
        if getattr(self.task, "private", False):
            return "..."
        text = text or ""
        return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


class RelayTask(Task[..., Any]):
    """The base of all tasks of the app."""

    Request = "workers.request:Request"
    #: The arguments are somebody's mail: they are never shown.
    private = False


class PrivateTask(RelayTask):
    """The base of a task that carries mail."""

    abstract = True
    private = True
