"""Builds of programs at hosts with the role `compile`: `CompileWorker` takes orders, `RemoteCompiler` gives them.

An order goes to `mc.<cluster>.compile`, of which NATS chooses one worker (a queue group). What becomes of it comes
to `mc.<cluster>.host.<who asks>.built.<number>`: that a worker has it, then the image or the error, each in pieces. A
build changes nothing, so an order is given to another worker when the first one is gone.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from microclaw.apps.building import Compile, ProgramImage, ProgramLanguage
from microclaw.apps.remote_build_codec import (
    Built,
    Left,
    News,
    Refused,
    Taken,
    built,
    encode_news,
    encode_order,
    image_of,
    read_news,
    read_order,
    refused,
)
from microclaw.boards.profile import BoardProfile
from microclaw.cluster.connection import OUTAGES, Cluster, subscribed, unreachable
from microclaw.cluster.pieces import Pieces, cut
from microclaw.errors import ConfigError, MicroclawError, Overloaded, ProtocolError, ToolFailed
from microclaw.events import ProgramKind
from microclaw.text import host_called

if TYPE_CHECKING:
    from nats.aio.msg import Msg

QUEUE: Final = "compile"
BUILD_S: Final = 150.0  # the compilers' own limits end sooner (builds/process.py)
TAKE_S: Final = 5.0  # a worker says at once that it has an order
LOOK_S: Final = 0.5  # how often who waits looks whether the worker is still there
TRIES: Final = 4
PAUSE_S: Final = 0.25  # before an order is given again
MAX_ORDERS: Final = 16  # that one worker has at a time, those that wait among them
LEAVE_S: Final = 1.0
_NO_RESPONDERS: Final = "503"  # NATS ADR-4: nobody subscribes to the order's subject

_log = logging.getLogger(__name__)


class _NoWorker(Exception):
    """NATS knows nobody who takes orders."""


class RemoteCompiler:
    """A `Compile` that has programs built by other hosts. `is_live` says whether a host has a lease."""

    def __init__(self, cluster: Cluster, host_id: str, is_live: Callable[[str], bool]) -> None:
        self._cluster = cluster
        self._answers = f"{cluster.prefix}.host.{host_id}.built"
        self._is_live = is_live
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[Pieces, asyncio.Queue[News | Exception]]] = {}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Inside, answers are taken."""
        async with subscribed(self._cluster, f"{self._answers}.*", self._took):
            yield

    async def __call__(
        self,
        source: str,
        board: BoardProfile,
        name: str,
        optimization: str,
        language: ProgramLanguage | None = None,
        kinds: Sequence[ProgramKind] = ("wasm",),
    ) -> ProgramImage:
        """As Compile. Raises ConfigError where no host builds, Overloaded where all have too much, StoreError without
        NATS."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BUILD_S
        busy: Refused | None = None
        for number in range(TRIES):
            if number:
                await asyncio.sleep(PAUSE_S)
            left_s = deadline - loop.time()
            if left_s <= 0:
                break
            order = encode_order(source, board, name, optimization, language, kinds, left_s)
            try:
                news = await self._ask(order, deadline)
            except _NoWorker:
                raise ConfigError(
                    "no live host of the cluster builds programs (the role compile)",
                    next_step="start one: microclaw up --nats ... (with the role compile in --roles); then try again",
                ) from None
            if isinstance(news, Built):
                return image_of(news)
            if isinstance(news, Refused):
                if news.error.name != Overloaded.__name__:
                    return image_of(news)  # raises
                busy = news
        if busy is not None:
            return image_of(busy)  # raises
        raise ToolFailed(
            f"{name} was not built: the hosts that had it ended, or did not answer in time",
            next_step="see whether the cluster is well (microclaw cluster status), then try again",
        )

    async def _ask(self, order: bytes, deadline: float) -> News | None:
        """What became of the order; None where its worker is gone, or nobody took it."""
        number = next(self._numbers)
        news: asyncio.Queue[News | Exception] = asyncio.Queue()
        self._waiting[number] = Pieces(), news
        try:
            await self._send(order, number)
            return await self._outcome(news, deadline)
        finally:
            del self._waiting[number]

    async def _send(self, order: bytes, number: int) -> None:
        """Nothing is kept for later while NATS is away."""
        what = "programs are built by other hosts"
        if not self._cluster.connected:
            raise unreachable(what, ConnectionError("not connected"))
        try:
            await self._cluster.client.publish(
                f"{self._cluster.prefix}.compile", order, reply=f"{self._answers}.{number}"
            )
        except OUTAGES as exc:
            raise unreachable(what, exc) from exc

    async def _outcome(self, news: asyncio.Queue[News | Exception], deadline: float) -> News | None:
        loop, stats = asyncio.get_running_loop(), self._cluster.client.stats
        reconnects = stats["reconnects"]
        taken_by: str | None = None
        begun = loop.time()
        while (now := loop.time()) < deadline:
            try:
                async with asyncio.timeout(min(LOOK_S, deadline - now)):
                    found = await news.get()
            except TimeoutError:
                is_lost = now - begun > TAKE_S if taken_by is None else not self._is_live(taken_by)
                if is_lost or stats["reconnects"] != reconnects:
                    return None
                continue
            if isinstance(found, Exception):
                raise found
            if isinstance(found, Left):
                return None
            if not isinstance(found, Taken):
                return found
            taken_by = found.host
        return None

    async def _took(self, message: Msg) -> None:
        number = message.subject.rpartition(".")[2]
        waiting = self._waiting.get(int(number)) if number.isdecimal() else None
        if waiting is None:
            return  # it came too late
        pieces, news = waiting
        if message.headers is not None and message.headers.get("Status") == _NO_RESPONDERS:
            news.put_nowait(_NoWorker())
            return
        try:
            data = pieces.add(message.data)
            if data is not None:
                self._waiting[int(number)] = Pieces(), news
                news.put_nowait(read_news(data))
        except ProtocolError as exc:
            news.put_nowait(exc)


class CompileWorker:
    """Builds what hosts without the role ask for, some at a time; who has no place is told to ask another."""

    def __init__(self, cluster: Cluster, host_id: str, compile_source: Compile) -> None:
        self._cluster = cluster
        self._host_id = host_id
        self._compile = compile_source
        self._places = asyncio.Semaphore(max(2, os.cpu_count() or 2))
        self._tasks: asyncio.TaskGroup | None = None
        self._orders: set[asyncio.Task[None]] = set()
        self.done = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Inside, orders are taken. Those that do not end soon when it is left go to another worker."""
        async with asyncio.TaskGroup() as self._tasks:
            try:
                async with subscribed(self._cluster, f"{self._cluster.prefix}.compile", self._took, queue=QUEUE):
                    yield
            finally:
                if self._orders:
                    await asyncio.wait(self._orders, timeout=LEAVE_S)
                for task in self._orders:
                    task.cancel()

    async def _took(self, message: Msg) -> None:
        if self._tasks is None or not message.reply.startswith(f"{self._cluster.prefix}.host."):
            return
        if len(self._orders) >= MAX_ORDERS:
            text = f"{MAX_ORDERS} programs are built, or wait for it, at {host_called(self._host_id)}"
            await self._tell(message.reply, refused(self._host_id, _busy(text)))
            return
        await self._tell(message.reply, Taken(self._host_id))
        task = self._tasks.create_task(self._build(message.data, message.reply), name="cluster: build a program")
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)

    async def _build(self, data: bytes, reply: str) -> None:
        try:
            news: News = built(self._host_id, await self._image(data))
            self.done += 1
        except MicroclawError as exc:
            news = refused(self._host_id, exc)
        except asyncio.CancelledError:
            await self._tell(reply, Left(self._host_id))
            raise
        except Exception:  # a fault of this program: who asks must know, and others are served on
            _log.exception("a program of another host was not built")
            text = f"the host {host_called(self._host_id)} failed while it built the program: its log says why"
            news = refused(self._host_id, ToolFailed(text))
        await self._tell(reply, news)

    async def _image(self, data: bytes) -> ProgramImage:
        order = read_order(data)
        try:
            async with asyncio.timeout(order.left_s), self._places:
                return await self._compile(
                    order.source, order.board, order.name, order.optimization, order.language, order.kinds
                )
        except TimeoutError:
            raise _busy(f"{order.name} was not built in {order.left_s:.0f} s at {host_called(self._host_id)}") from None

    async def _tell(self, reply: str, news: News) -> None:
        try:
            pieces = cut(encode_news(news))
        except ProtocolError as exc:
            pieces = cut(encode_news(refused(self._host_id, exc)))
        try:
            for piece in pieces:
                await self._cluster.client.publish(reply, piece)
        except OUTAGES as exc:
            _log.info("what became of a program of another host is not told: %s", exc)


def _busy(text: str) -> Overloaded:
    return Overloaded(text, next_step="try again in a while, or give another host the role compile")
