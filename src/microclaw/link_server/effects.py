"""What a device's durable message does in the store, in the transaction that moves the inbox. Sends nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from microclaw.store.link_events import add_to as add_event
from microclaw.store.link_tasks import OpenTask
from microclaw.store.link_tasks import add_to as add_task
from microclaw.store.links import append_to
from microclaw.wire.link.codec import encode
from microclaw.wire.link.messages import Envelope, Event, Result, RunTask, TaskStatus, Unknown

MAX_EVENT_NAME_CHARS: Final = 200


class Effect:
    """`refusal`: why a `run_task` is not taken. Afterwards `task` is what was taken, `seq` and `payload` an answer."""

    def __init__(
        self,
        link_id: str,
        envelope: Envelope,
        *,
        expired: bool,
        now_ms: int,
        new_id: Callable[[], bytes],
        refusal: Callable[[RunTask], str | None],
    ) -> None:
        self.seq: int | None = None
        self.payload = b""
        self.task: OpenTask | None = None
        self._link_id = link_id
        self._envelope = envelope
        self._expired = expired
        self._now_ms = now_ms
        self._new_id = new_id
        self._refusal = refusal

    def apply(self, connection: sqlite3.Connection) -> None:
        """In that transaction; it may run again after one that failed."""
        self.seq, self.payload, self.task = None, b"", None
        body = self._envelope.body
        if not self._expired and not isinstance(body, Unknown | Result):
            name = body.name if isinstance(body, Event) else ""
            kept = encode(Envelope(self._envelope.id, body, self._envelope.ts_ms))
            add_event(connection, self._link_id, body.type, name[:MAX_EVENT_NAME_CHARS], kept, self._now_ms)
        if isinstance(body, RunTask):
            self._take(connection, body)

    def _take(self, connection: sqlite3.Connection, request: RunTask) -> None:
        """An open task, or its refusal in the outbox."""
        task = OpenTask(self._link_id, request.task, self._envelope.id)
        refusal = self._refusal(request)
        if refusal is None and (why := add_task(connection, task, self._now_ms)) is not None:
            refusal = f"too_many_tasks: {why}; next: wait for its end, or cancel it"
        if refusal is None:
            self.task = task
            return
        message_id = self._new_id()
        status = TaskStatus(request.task, "failed", text=refusal)
        self.payload = encode(Envelope(message_id, status, self._now_ms, re=self._envelope.id))
        self.seq = append_to(connection, self._link_id, message_id, self.payload, self._now_ms)
