"""uvicorn's HTTP protocol with an end to its patience: a request's head must come in time. It knows no route."""

from __future__ import annotations

import asyncio

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_TIMEOUT_S = 10.0


class PatientConfig(uvicorn.Config):
    """uvicorn's settings and how long a connection may take over a request's head."""

    head_timeout_s: float = HEAD_TIMEOUT_S


class HeadDeadline(H11Protocol):
    """Closes a connection that begins a request and does not end its head.

    uvicorn waits for ever there, and such connections count against `limit_concurrency`: a few dozen shut the door.
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_head()
        else:
            self._end_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._head_timer is None:
            assert isinstance(self.config, PatientConfig)
            self._head_timer = self.loop.call_later(self.config.head_timeout_s, self.transport.close)

    def _end_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
