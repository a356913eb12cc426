"""uvicorn's HTTP protocol with an end to its patience: a request's head must come in time. It knows no route."""

from __future__ import annotations

import asyncio

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_TIMEOUT_S = 10.0
UNREAD_TIMEOUT_S = 30.0


class PatientConfig(uvicorn.Config):
    """uvicorn's settings, how long a connection may take over a request's head, and how long it may read nothing."""

    head_timeout_s: float = HEAD_TIMEOUT_S
    unread_timeout_s: float = UNREAD_TIMEOUT_S


class HeadDeadline(H11Protocol):
    """Closes a connection that begins a request and does not end its head, and one that takes nothing of its answer.

    uvicorn waits for ever there, and such connections count against `limit_concurrency`: a few dozen shut the door.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # paused for as long as anything waits to be read
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_head()
        else:
            self._end_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        self._end_unread_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread_timer is None:
            assert isinstance(self.config, PatientConfig)
            self._unread_timer = self.loop.call_later(self.config.unread_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._end_unread_timer()
        super().resume_writing()

    def _expect_head(self) -> None:
        if self._head_timer is None:
            assert isinstance(self.config, PatientConfig)
            self._head_timer = self.loop.call_later(self.config.head_timeout_s, self.transport.close)

    def _end_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
