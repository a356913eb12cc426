"""Opens the channels besides the terminal: Telegram and the chat gateway. It reads no message."""

from __future__ import annotations

import logging
import re
import secrets
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from microclaw.addresses import is_loopback
from microclaw.agent.turn.inbox import Inbox
from microclaw.app.devices import Base
from microclaw.durable import read_private, write_private
from microclaw.errors import ConfigError, StoreError
from microclaw.host.auth.tokens import PREFIX, SECRET_BYTES
from microclaw.host.config.settings import GatewaySettings, TelegramSettings
from microclaw.interfaces.api.host import ChannelStates
from microclaw.interfaces.api.server import tcp_listener
from microclaw.interfaces.channels.delivery import ReadFile
from microclaw.supervision import SupervisedTasks

if TYPE_CHECKING:
    from microclaw.interfaces.channels.telegram.channel import TelegramState

FIRST_PAUSE_S: Final = 15.0
_TOKEN: Final = re.compile(r"mc_[A-Za-z0-9_-]{43}")
_log = logging.getLogger(__name__)


async def open_channels(
    base: Base, inbox: Inbox, tasks: SupervisedTasks, read_file: ReadFile, stack: AsyncExitStack
) -> ChannelStates:
    """They take messages in from then on; after the agent, so that they stop before it. One that fails is off."""
    states = ChannelStates()
    settings = base.settings
    if settings.gateway is not None and settings.gateway.enabled:
        try:
            await _open_gateway(base, settings.gateway, inbox, states, stack)
        except (ConfigError, StoreError) as exc:
            states.problems.append(f"the chat gateway is off: {exc.message} (next: {exc.next_step})")
            _log.warning("%s", states.problems[0])
    if settings.telegram is not None:
        from microclaw.interfaces.channels.telegram.channel import TelegramState  # only who has a bot needs it

        states.telegram = TelegramState()
        poll = partial(_telegram, settings.telegram, inbox, base, states.telegram, read_file)
        tasks.start("telegram", base.duty("telegram", poll), first_retry_s=FIRST_PAUSE_S)
    return states


async def _open_gateway(
    base: Base, wanted: GatewaySettings, inbox: Inbox, states: ChannelStates, stack: AsyncExitStack
) -> None:
    from microclaw.interfaces.api.gateway import Gateway  # its protocol: only who has a gateway needs it

    path = base.settings.gateway_token
    is_here = is_loopback(wanted.host)
    if is_here:
        token = open_local_token(path)
    else:
        token = None
    hint = "another port: microclaw config set gateway.port 18790"
    listener = stack.enter_context(tcp_listener(wanted.host, wanted.port, next_step=hint))
    tokens = base.admission.tokens
    approvals = base.admission.approvals
    gateway = Gateway(wanted, inbox=inbox, tokens=tokens, approvals=approvals, local_token=token)
    states.gateway = await stack.enter_async_context(gateway.serving(listener))
    states.clients = lambda: len(gateway.clients)
    states.gateway_open = wanted.open and is_here
    states.gateway_token = path if token else None
    if states.gateway_open:
        _log.warning("the chat gateway is open: every program of this machine is the owner there")


def open_local_token(path: Path) -> str:
    """The gateway's own token in the file at `path`, made (0600) when there is none; StoreError when it cannot be.

    Whoever can read the file is the owner. It opens the gateway on loopback and nothing else.

    A file that others can read, or that holds no token, gets a new one: the old one may be known.
    """
    try:
        found = (read_private(path) or b"").decode("ascii", "replace").strip()
    except StoreError as exc:
        _log.warning("the chat gateway's token is made again: %s", exc.message)
        found = ""
    if _TOKEN.fullmatch(found):
        return found
    token = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    write_private(path, f"{token}\n".encode())
    return token


async def _telegram(
    settings: TelegramSettings, inbox: Inbox, base: Base, state: TelegramState, read_file: ReadFile
) -> None:
    """Until it is cancelled or the token is refused."""
    from microclaw.interfaces.channels.telegram.api import BotApi  # brings an HTTP client
    from microclaw.interfaces.channels.telegram.channel import TelegramChannel

    try:
        async with BotApi.opened(settings, proxy=base.settings.proxy) as api:
            await TelegramChannel(api, inbox, base.admission.people, base.admission.approvals, read_file, state).run()
    except Exception:
        state.phase = "disturbed"
        state.reason = "it failed: the host's log says how"
        raise
