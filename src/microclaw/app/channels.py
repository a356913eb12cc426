"""Joins the ways in besides the terminal: Telegram and the chat gateway. One that is off stops no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from microclaw.agent.inbox import Inbox
from microclaw.api.server import tcp_listener
from microclaw.app.gateway_door import GatewayDoor
from microclaw.auth.admission import Admission
from microclaw.backoff import Backoff
from microclaw.config import Settings, TelegramSettings
from microclaw.errors import ConfigError

if TYPE_CHECKING:
    from microclaw.channels.telegram.poller import TelegramState

FIRST_PAUSE_S: Final = 15.0
LONGEST_PAUSE_S: Final = 3600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Channels:
    """What runs, for the status screen; `gateway` is its address. `problems` says why a configured one is off."""

    telegram: TelegramState | None = None
    gateway: str | None = None
    gateway_door: GatewayDoor | None = None
    problems: tuple[str, ...] = ()

    @property
    def clients(self) -> int:
        """Of the gateway, now."""
        return self.gateway_door.clients if self.gateway_door is not None else 0

    def open_doors(self) -> None:
        """Let in who waits at an address, once the host answers: what serves them takes a while to import."""
        if self.gateway_door is not None:
            self.gateway_door.open()

    def close_doors(self) -> None:
        """Begin to say goodbye."""
        if self.gateway_door is not None:
            self.gateway_door.close()


@asynccontextmanager
async def open_channels(
    settings: Settings, inbox: Inbox, admission: Admission, group: asyncio.TaskGroup
) -> AsyncGenerator[Channels]:
    """Inside, they take messages in; enter it after the agent, so that they stop before it."""
    async with AsyncExitStack() as stack:
        problems: list[str] = []
        door, state = None, None
        if settings.gateway is not None:
            hint = "another port: microclaw config set gateway.port 18790"
            try:
                listener = stack.enter_context(
                    tcp_listener(settings.gateway.host, settings.gateway.port, next_step=hint)
                )
            except ConfigError as exc:
                problems.append(f"the chat gateway is off: {exc.message} (next: {exc.next_step})")
            else:
                door = GatewayDoor(settings.gateway, inbox, admission, listener)
                await stack.enter_async_context(door.kept(group))
        if settings.telegram is not None:
            from microclaw.channels.telegram.poller import TelegramState  # only who has a bot needs it

            state = TelegramState()
            polling = group.create_task(
                _telegram(settings.telegram, inbox, admission, settings.proxy, state), name="telegram"
            )
            stack.callback(polling.cancel)
        for problem in problems:
            _log.warning("%s", problem)
        yield Channels(state, None if door is None else door.address, door, tuple(problems))


async def _telegram(
    settings: TelegramSettings, inbox: Inbox, admission: Admission, proxy: str | None, state: TelegramState
) -> None:
    """Until it is cancelled or the token is refused. Another failure ends neither the host nor, for long, itself."""
    from microclaw.channels.telegram.channel import run_telegram  # brings an HTTP client

    backoff = Backoff(min_s=FIRST_PAUSE_S, max_s=LONGEST_PAUSE_S)
    while True:
        try:
            return await run_telegram(
                settings, inbox=inbox, people=admission.people, approvals=admission.approvals, proxy=proxy, state=state
            )
        except Exception:
            pause_s = backoff.next_wait_s()
            _log.exception("telegram failed; it begins anew in %.0f s", pause_s)
            state.phase, state.reason = "disturbed", "it failed: the host's log says how"
        await asyncio.sleep(pause_s)
