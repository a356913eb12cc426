"""Joins the ways in besides the terminal: Telegram and the chat gateway. One that is off stops no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from microclaw.agent.mail import Mail
from microclaw.app.admission import Admission
from microclaw.channels.gateway.server import Gateway
from microclaw.channels.telegram.poller import TelegramState
from microclaw.config import GatewaySettings, Settings, TelegramSettings
from microclaw.errors import ConfigError
from microclaw.web.server import tcp_listener

FIRST_PAUSE_S: Final = 15.0
LONGEST_PAUSE_S: Final = 3600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Channels:
    """What runs, for the status screen; `gateway` is its address. `problems` says why a configured one is off."""

    telegram: TelegramState | None = None
    gateway: str | None = None
    clients: Gateway | None = None
    problems: tuple[str, ...] = ()


@asynccontextmanager
async def open_channels(
    settings: Settings, mail: Mail, admission: Admission, group: asyncio.TaskGroup
) -> AsyncIterator[Channels]:
    """Inside, they take messages in; enter it after the agent, so that they stop before it."""
    async with AsyncExitStack() as stack:
        problems: list[str] = []
        gateway, address = None, None
        if settings.gateway is not None:
            try:
                gateway, address = await _gateway(settings.gateway, mail, admission, stack)
            except ConfigError as exc:
                problems.append(f"the chat gateway is off: {exc.message} (next: {exc.next_step})")
        state = None
        if settings.telegram is not None:
            state = TelegramState()
            polling = group.create_task(
                _telegram(settings.telegram, mail, admission, settings.proxy, state), name="telegram"
            )
            stack.callback(polling.cancel)
        for problem in problems:
            _log.warning("%s", problem)
        yield Channels(state, address, gateway, tuple(problems))


async def _gateway(
    settings: GatewaySettings, mail: Mail, admission: Admission, stack: AsyncExitStack
) -> tuple[Gateway, str]:
    gateway = Gateway(settings, mail=mail, tokens=admission.tokens, approvals=admission.approvals)
    hint = "another port: microclaw config set gateway.port 18790"
    listener = stack.enter_context(tcp_listener(settings.host, settings.port, next_step=hint))
    return gateway, await stack.enter_async_context(gateway.serving(listener))


async def _telegram(
    settings: TelegramSettings, mail: Mail, admission: Admission, proxy: str | None, state: TelegramState
) -> None:
    """Until it is cancelled or the token is refused. Another failure ends neither the host nor, for long, itself."""
    from microclaw.channels.telegram.channel import run_telegram  # brings an HTTP client

    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await run_telegram(
                settings, mail=mail, people=admission.people, approvals=admission.approvals, proxy=proxy, state=state
            )
        except Exception:
            _log.exception("telegram failed; it begins anew in %.0f s", pause_s)
            state.phase, state.reason = "disturbed", "it failed: the host's log says how"
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
