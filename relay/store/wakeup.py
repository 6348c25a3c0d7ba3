"""A wake-up as it lies in the broker: one Celery task `relay.drain` for many queues, made by hand.

Celery's own publish takes 280-310 us and blocks; this takes a few. The form is Celery's message
protocol 2 in kombu's envelope for Redis, with the body as plain JSON text (no base64).
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import msgspec

#: The task that a wake-up is.
TASK = "relay.drain"
_encode = msgspec.json.encode

#: What is the same in every wake-up; `%s`: id, id, queues for people, body, id, routing key, tag.
_FORM = (
    b'{"headers":{"lang":"py","task":"' + TASK.encode() + b'","id":%s,"root_id":%s,'
    b'"parent_id":null,"group":null,"group_index":null,"retries":0,"timelimit":[null,null],'
    b'"eta":null,"expires":null,"shadow":null,"argsrepr":%s,"kwargsrepr":"{}","origin":"relay",'
    b'"ignore_result":true,"replaced_task_nesting":0,"stamped_headers":null,"stamps":{}},'
    b'"content-type":"application/json","content-encoding":"utf-8","body":%s,'
    b'"properties":{"correlation_id":%s,"reply_to":"","delivery_mode":1,'
    b'"delivery_info":{"exchange":"","routing_key":%s},"priority":0,"delivery_tag":%s}}'
)
#: Neither callbacks nor a chain: what follows args and kwargs in a task's body.
_EMBED: dict[str, None] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def wake_up(queues: Sequence[str], broker_queue: str) -> bytes:
    """The message that has a worker drain `queues`, to be pushed on the list `broker_queue`."""
    task_id = _encode(str(uuid4()))
    more = f" and {len(queues) - 1} more" if len(queues) > 1 else ""
    shown = _encode(f"[{queues[0]}{more}]")
    body = _encode(_encode([[queues], {}, _EMBED]).decode())
    return _FORM % (task_id, task_id, shown, body, task_id, _encode(broker_queue), task_id)
