"""The check as a host: listens, lets one device in as a host does, and tries each rule of a device.

It has an authority of its own, made for the check and forgotten with it: afterwards the device wants a factory reset.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from microclaw import __version__
from microclaw.auth.certificates import lan_names
from microclaw.auth.provisioning import Provision
from microclaw.errors import DeviceUnreachable
from microclaw.link_check.both_ends import BOTH, SLOW, ended
from microclaw.link_check.listening import Arrival, CheckListener
from microclaw.link_check.report import RuleBroken, RuleNotTried
from microclaw.link_check.run import Findings
from microclaw.link_check.talk import Cursors, Talk
from microclaw.wire.link.frame import DEFAULT_LIMITS
from microclaw.wire.link.messages import AnyMessage, Call, Hello, Limits, Result, Software, Welcome
from microclaw.wire.link.values import Sender

ARRIVAL_S: Final = 45.0  # the longest back-off is 60 s, but it begins anew with each welcome
GONE_S: Final = 2.0
HEARTBEAT_S: Final = 15


@dataclass(frozen=True, slots=True)
class CheckHost:
    """What is told of the check as a host. `show_provision` is called when it listens, `show_code` while it pairs."""

    show_provision: Callable[[Provision], None]
    show_code: Callable[[str], None] | None = None
    address: str | None = None  # how the device reaches this computer
    with_secret: bool = False
    wait_s: float = 300.0  # for the device to come at all


class HostBench:
    """The check's host: authority, what it gave the device, and both ends' numbers."""

    ours = Sender.HOST
    answer: type[AnyMessage] = Result

    def __init__(self, told: CheckHost, listener: CheckListener, secret: str | None) -> None:
        self.told = told
        self.listener = listener
        self.secret = secret
        self.cursors = Cursors()
        self.device_id = f"check-{secrets.token_hex(4)}"
        self.certificates: list[bytes] = []  # DER, the newest last
        self.tokens: list[str] = []
        self.hello: Hello | None = None
        self.heartbeat_s = HEARTBEAT_S
        self._first: Arrival | None = None
        self._is_gone = False

    @property
    def is_paired(self) -> bool:
        return bool(self.certificates or self.tokens)

    async def wait_for_device(self) -> None:
        """Until a device does anything at all; DeviceUnreachable when none does."""
        wait_s = self.told.wait_s
        try:
            async with asyncio.timeout(wait_s):
                self._first = await self.listener.arrivals.get()
        except TimeoutError:
            raise DeviceUnreachable(
                f"no device came within {wait_s:.0f} s",
                next_step="enter what the check printed into the device; can it reach this computer's address?",
            ) from None

    async def arrival(self, *kinds: str, timeout_s: float | None = None) -> Arrival:
        """The next thing of these kinds that the device does; others are dropped. RuleBroken when it does nothing."""
        limit_s = GONE_S if self._is_gone else (timeout_s or ARRIVAL_S)
        dropped: list[str] = []
        try:
            async with asyncio.timeout(limit_s):
                while (found := await self._next_arrival()).kind not in kinds:
                    dropped.append(found.why or found.kind)
        except TimeoutError:
            if self._is_gone:
                raise RuleNotTried("the device did not come back") from None
            shown = f"; it did: {', '.join(dropped[-3:])}" if dropped else ""
            raise RuleBroken(
                "nothing: it is the device's turn", f"no connection within {limit_s:.0f} s{shown}"
            ) from None
        self._is_gone = False
        return found

    async def _next_arrival(self) -> Arrival:
        first, self._first = self._first, None
        return first or await self.listener.arrivals.get()

    @asynccontextmanager
    async def connected(self, *, timeout_s: float | None = None) -> AsyncIterator[tuple[Talk, Arrival]]:
        """The device's next WebSocket, before any message."""
        try:
            arrival = await self.arrival("link", timeout_s=timeout_s)
        except RuleBroken:
            self._is_gone = True
            raise
        assert arrival.peer is not None
        async with ended(Talk(arrival.peer, self.cursors, self.ours)) as talk:
            talk.said = "nothing yet"
            yield talk, arrival

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[Talk]:
        async with self.connected() as (talk, _):
            await self.greet(talk)
            yield talk
            await talk.bye()

    async def greet(self, talk: Talk, *, rx_seq: int | None = None) -> Hello:
        """The device's `hello` and our `welcome`; both ends' numbers go on from it."""
        _, hello = await talk.expect(Hello)
        cursors = self.cursors
        if hello.tx_epoch != cursors.rx_epoch:
            cursors.rx_epoch, cursors.rx_seq = hello.tx_epoch, 0
        cursors.tx_last = hello.rx_seq if hello.rx_epoch == cursors.tx_epoch else 0
        self.hello = hello
        await talk.say(
            Welcome(
                session=secrets.token_bytes(16),
                host=Software("microclaw-link-check", __version__),
                time_ms=time.time_ns() // 1_000_000,
                heartbeat_s=self.heartbeat_s,
                tx_epoch=cursors.tx_epoch,
                rx_epoch=cursors.rx_epoch,
                rx_seq=cursors.rx_seq if rx_seq is None else rx_seq,
                limits=Limits(*DEFAULT_LIMITS),
            )
        )
        return hello

    def durable(self) -> AnyMessage:
        return Call(self.method, {}, False)

    @property
    def method(self) -> str:
        """One without harm: every device answers it, if only with `not_supported`."""
        return "device.info"

    def knows(self, arrival: Arrival) -> bool:
        """Whether it came with what it was given last."""
        assert arrival.peer is not None
        if self.tokens:
            return arrival.token == self.tokens[-1]
        return bool(self.certificates) and arrival.peer.certificate == self.certificates[-1]


async def check_device(told: CheckHost, listening: socket.socket, findings: Findings) -> None:
    """Try every rule of the device that comes. Raises DeviceUnreachable when none does."""
    from microclaw.link_check import device_rules

    names = await asyncio.to_thread(lan_names, *([told.address] if told.address else []))
    secret = base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=") if told.with_secret else None
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="microclaw-link-check-")
    with folder as name:
        listener = CheckListener(Path(name), names)
        bench = HostBench(told, listener, secret)
        der = listener.authority.certificate.public_bytes(Encoding.DER)
        host = told.address or names.names[0]
        absent: DeviceUnreachable | None = None
        async with listener.serving(listening):
            port = listening.getsockname()[1]
            told.show_provision(Provision(host, port, hashlib.sha256(der).hexdigest(), secret))
            try:
                await device_rules.let_in(bench, findings)
            except DeviceUnreachable as exc:
                absent = exc  # raised outside: the listener's TaskGroup would make a group of it
            if bench.is_paired:
                checks = {**BOTH, **device_rules.READY}
                await findings.run_all(
                    {rule_id: partial(check, bench) for rule_id, check in checks.items()},
                    slow=SLOW | device_rules.SLOW,
                )
        if absent is not None:
            raise absent
        findings.finish("the device was not paired" if not bench.is_paired else "not by this device")
