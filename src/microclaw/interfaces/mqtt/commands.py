"""Commands that come over MQTT: bounded, one at a time a device, each answered as an event. It acts on nothing.

Nothing is older than its arrival: a retained command is refused, and the broker keeps none for a host that is off. Of a
flood the newest commands are done, so that it never ends with an older word.

Who may write to the broker's command topics commands, so the broker's own list of who may is what matters; here every
command still passes the gate, the claims and the policy as a role of its own (auth.people).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote

from msgspec import Struct

from microclaw.clock import now_ms
from microclaw.devices.link.limits import RateLimit
from microclaw.events import ActOutcome, Evidence
from microclaw.interfaces.mqtt.feed import COMMAND_EVENT, DROPPED_EVENT, MqttFeed
from microclaw.interfaces.mqtt.topics import device_of

# The longest name of a program that the firmware accepts.
MAX_NAME_CHARS: Final = 126
Switch: TypeAlias = Literal["on", "off"]
_SWITCH: Final[dict[str, Switch]] = {"on": "on", "1": "on", "true": "on", "off": "off", "0": "off", "false": "off"}
PRESS: Final = "press"
MAX_PAYLOAD_BYTES: Final = 64
# For one device; for refusals, of all devices together.
COMMANDS_A_SECOND: Final = 20
BURST: Final = 60
WAITING_A_DEVICE: Final = 16
# Devices at the same time.
AT_ONCE: Final = 8
SUMMARY_S: Final = 1.0
_log = logging.getLogger(__name__)


class Command(Struct, frozen=True):
    """`name` is a GPIO's number, or the name of a pin or program; an undo has none, and no `switch`."""

    device: str
    target: Literal["pin", "program", "undo"]
    name: str = ""
    switch: Switch | None = None

    def __str__(self) -> str:
        if self.switch is None:
            return self.target
        return f"{self.target} {self.name} {self.switch}"


class CommandOutcome(Struct, frozen=True):
    """The end of a command; `reason` says why where it is not done."""

    outcome: ActOutcome
    reason: str = ""
    next_step: str | None = None
    evidence: tuple[Evidence, ...] = ()


class MqttCommands:
    """`act` carries a command out; `feed` gets the answers."""

    def __init__(
        self,
        *,
        feed: MqttFeed,
        act: Callable[[Command], Awaitable[CommandOutcome]],
        is_known: Callable[[str], bool],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed = feed
        self._act = act
        self._is_known = is_known
        self._monotonic_s = monotonic_s
        self._rate = RateLimit(COMMANDS_A_SECOND, BURST, monotonic_s())
        self._waiting: dict[str, deque[Command]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._group: asyncio.TaskGroup | None = None
        # How many dropped commands are not reported yet.
        self._unreported_count = 0
        self.counts: dict[ActOutcome, int] = {"done": 0, "refused": 0, "failed": 0, "unknown": 0}
        self.dropped = 0

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        """Carry out commands inside the context; leaving it ends the running command and drops the waiting ones."""
        async with asyncio.TaskGroup() as self._group:
            try:
                yield
            finally:
                self._group = None
                self._waiting.clear()

    def take(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a message on a command topic (below the host's own), without waiting."""
        # An empty message removes a retained one.
        if not payload:
            return
        device = device_of(topic)
        is_known = self._is_known(device)
        try:
            if not is_known:
                raise ValueError("there is no device of this name")
            if retained:
                raise ValueError("it is retained: it would be done again at every connection")
            self._queue(read_command(topic, payload))
        except ValueError as exc:
            refusal = CommandOutcome("refused", str(exc), "docs/mqtt.md has the commands")
            if self._rate.allows(self._monotonic_s()):
                self._end(device if is_known else None, topic, refusal)
            else:
                self._drop()

    def _queue(self, command: Command) -> None:
        """Queue a command behind the others of its device; the oldest of them makes room."""
        group = self._group
        waiting = self._waiting.get(command.device)
        if group is None:
            self._drop()
        elif waiting is not None:
            if len(waiting) >= WAITING_A_DEVICE:
                waiting.popleft()
                self._drop()
            waiting.append(command)
        else:
            self._waiting[command.device] = deque((command,))
            group.create_task(self._work(command.device), name=f"mqtt commands for {command.device}")

    async def _work(self, device: str) -> None:
        while waiting := self._waiting.get(device):
            command = waiting.popleft()
            async with self._slots:
                try:
                    outcome = await self._act(command)
                except Exception:
                    # The next command must not end with this one.
                    _log.exception("a command over MQTT failed inside the host")
                    outcome = CommandOutcome("unknown", "a fault inside the host ended it", "the host's log says more")
            self._end(device, str(command), outcome)
            await asyncio.sleep(1 / COMMANDS_A_SECOND)
        self._waiting.pop(device, None)

    def _end(self, device: str | None, command: str, outcome: CommandOutcome) -> None:
        self.counts[outcome.outcome] += 1
        data = {
            "command": command[:200],
            "outcome": outcome.outcome,
            "reason": outcome.reason,
            "next": outcome.next_step,
            "evidence": [{"kind": evidence.kind, "text": evidence.text} for evidence in outcome.evidence],
        }
        filled = {key: value for key, value in data.items() if value}
        self._feed.add_event(device, COMMAND_EVENT, filled, now_ms())

    def _drop(self) -> None:
        """Count a dropped command; the count is published once a second."""
        if not self._unreported_count:
            asyncio.get_running_loop().call_later(SUMMARY_S, self._publish_dropped)
        self._unreported_count += 1
        self.dropped += 1

    def _publish_dropped(self) -> None:
        count = self._unreported_count
        self._unreported_count = 0
        text = f"more than {COMMANDS_A_SECOND} commands a second, or {WAITING_A_DEVICE} that wait for a device"
        self._feed.add_event(None, DROPPED_EVENT, {"count": count, "reason": text}, now_ms())


def read_command(topic: str, payload: bytes) -> Command:
    """Read a message's command; `topic` is below the host's own one. ValueError."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"its payload has {len(payload)} bytes, {MAX_PAYLOAD_BYTES} is the limit")
    word = payload.decode(errors="replace").strip().lower()
    match [unquote(part) for part in topic.split("/")]:
        case [device, "undo"] if word == PRESS:
            return Command(device, "undo")
        case [device, "pin" | "program" as kind, name, "set"] if word in _SWITCH and 0 < len(name) <= MAX_NAME_CHARS:
            return Command(device, "pin" if kind == "pin" else "program", name, _SWITCH[word])
    raise ValueError(f"{word!r} is not a command here: pins and programs take ON or OFF, undo takes PRESS")
