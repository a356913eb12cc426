"""Channels as a part of the host: Telegram and the chat gateway. This file reads no message and starts nothing."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from microclaw.addresses import is_loopback
from microclaw.agent.tasks.service import TaskService
from microclaw.agent.turn.inbox import Inbox
from microclaw.durable import read_private, write_private
from microclaw.errors import ConfigError, StoreError, UnknownName
from microclaw.events import ResultFile
from microclaw.host.auth.tokens import PREFIX, SECRET_BYTES
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.builder.hooks import Row, StatusField
from microclaw.host.config.settings import GatewaySettings, TelegramSettings
from microclaw.interfaces.api.server import tcp_listener
from microclaw.interfaces.channels.delivery import ReadFile
from microclaw.text import count_text

if TYPE_CHECKING:
    from microclaw.interfaces.channels.telegram.channel import TelegramState

FIRST_PAUSE_S: Final = 15.0
TELEGRAM: Final = "telegram"
GATEWAY: Final = "the chat gateway"
# The setting that switches each channel on.
_SWITCH: Final = {TELEGRAM: "telegram.token", GATEWAY: "gateway.enabled true"}
_TOKEN: Final = re.compile(r"mc_[A-Za-z0-9_-]{43}")
_log = logging.getLogger(__name__)


class ChannelStates(Struct):
    """The states of the channels.

    `gateway` is its address, `clients` counts its connections. If `gateway_open`, it needs no token. `gateway_token` is
    the file with the local token, None on a network. `problems` says why a configured channel is off.
    """

    telegram: TelegramState | None = None
    gateway: str | None = None
    clients: Callable[[], int] = lambda: 0
    problems: list[str] = field(default_factory=list)
    gateway_open: bool = False
    gateway_token: Path | None = None


def setup(host: HostBuilder) -> None:
    """Take messages in. A channel that fails is off, and the others work."""
    states = ChannelStates()
    settings = host.settings
    if settings.gateway is not None and settings.gateway.enabled:
        host.enter(_gateway_serving(host, settings.gateway, states))
    if settings.telegram is not None:
        _add_telegram(host, settings.telegram, states)
    _show(host, states)


@asynccontextmanager
async def _gateway_serving(host: HostBuilder, wanted: GatewaySettings, states: ChannelStates) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        try:
            await _open_gateway(host, wanted, states, stack)
        except (ConfigError, StoreError) as exc:
            problem = f"{GATEWAY} is off: {exc.message} (next: {exc.next_step})"
            states.problems.append(problem)
            _log.warning("%s", problem)
        yield


async def _open_gateway(
    host: HostBuilder, wanted: GatewaySettings, states: ChannelStates, stack: AsyncExitStack
) -> None:
    # Only a host with a gateway needs its protocol.
    from microclaw.interfaces.channels.gateway import Gateway

    path = host.settings.gateway_token
    is_here = is_loopback(wanted.host)
    token = None
    if is_here:
        token = open_local_token(path)
    hint = "another port: microclaw config set gateway.port 18790"
    listener = stack.enter_context(tcp_listener(wanted.host, wanted.port, next_step=hint))
    gateway = Gateway(
        wanted,
        inbox=host.need(Inbox),
        tokens=host.admission.tokens,
        approvals=host.admission.approvals,
        local_token=token,
    )
    states.gateway = await stack.enter_async_context(gateway.serving(listener))
    states.clients = lambda: len(gateway.clients)
    states.gateway_open = wanted.open and is_here
    if token is not None:
        states.gateway_token = path
    if states.gateway_open:
        _log.warning("the chat gateway is open: every program of this machine is the owner there")


def open_local_token(path: Path) -> str:
    """Return the gateway's own token in the file at `path`, made (0600) if there is none.

    Whoever can read the file is the owner. It opens the gateway on loopback and nothing else. A file that others can
    read, or that holds no token, gets a new one: the old one may be known. Raises StoreError if it cannot be written.
    """
    text = ""
    try:
        text = (read_private(path) or b"").decode("ascii", "replace").strip()
    except StoreError as exc:
        _log.warning("the chat gateway's token is made again: %s", exc.message)
    if _TOKEN.fullmatch(text):
        return text
    token = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    write_private(path, f"{token}\n".encode())
    return token


def _add_telegram(host: HostBuilder, settings: TelegramSettings, states: ChannelStates) -> None:
    # Only a host with a bot needs it.
    from microclaw.interfaces.channels.telegram.channel import TelegramState

    state = TelegramState()
    states.telegram = state
    read_file = _file_reader(host.find(TaskService))

    async def poll() -> None:
        await _poll_telegram(host, settings, state, read_file)

    host.task("telegram", host.duty("telegram", poll), first_retry_s=FIRST_PAUSE_S)


def _file_reader(tasks: TaskService | None) -> ReadFile:
    if tasks is not None:
        return tasks.read_result

    async def refuse(_file: ResultFile) -> bytes:
        raise UnknownName("this host has no files of tasks", next_step="ask for the content as text")

    return refuse


async def _poll_telegram(
    host: HostBuilder, settings: TelegramSettings, state: TelegramState, read_file: ReadFile
) -> None:
    """Take messages of the bot until cancelled, or until its token is refused."""
    # This brings an HTTP client.
    from microclaw.interfaces.channels.telegram.api import BotApi
    from microclaw.interfaces.channels.telegram.channel import TelegramChannel

    admission = host.admission
    try:
        async with BotApi.opened(settings, proxy=host.settings.proxy) as api:
            inbox = host.need(Inbox)
            channel = TelegramChannel(api, inbox, admission.people, admission.approvals, read_file, state)
            await channel.run()
    except Exception:
        state.phase = "disturbed"
        state.reason = "it failed: the host's log says how"
        raise


def _show(host: HostBuilder, states: ChannelStates) -> None:
    async def rows() -> AsyncIterator[Row]:
        for row in _rows(states, host.settings.problems):
            yield row

    def start_facts() -> Mapping[str, object]:
        token_file = None
        if states.gateway_token is not None:
            token_file = str(states.gateway_token)
        return {"gateway": states.gateway, "gateway_open": states.gateway_open, "gateway_token": token_file}

    hooks = host.hooks
    hooks.on_screen("connections", rows)
    hooks.names_with_row.update(_SWITCH)
    hooks.problems.append(lambda: states.problems)
    hooks.start_facts.append(start_facts)
    hooks.fields.append(StatusField("gateway_open", bool, lambda: states.gateway_open, for_owners=True))


def _rows(states: ChannelStates, problems: Sequence[str]) -> Iterator[Row]:
    yield "telegram", _telegram_text(states, problems)
    if states.gateway is None:
        yield "gateway", _off_text(GATEWAY, states.problems)
        return
    text = f"{states.gateway}   {count_text(states.clients(), 'client')}"
    if states.gateway_open:
        text += "   open: every program of this machine is the owner there"
    yield "gateway", text


def _telegram_text(states: ChannelStates, problems: Sequence[str]) -> str:
    telegram = states.telegram
    if telegram is None:
        return _off_text(TELEGRAM, problems)
    if telegram.phase == "listening":
        bot = (telegram.bot or "").removeprefix("@")
        return f"@{bot} listens"
    if telegram.reason:
        return f"{telegram.phase}: {telegram.reason}"
    return telegram.phase


def _off_text(name: str, problems: Sequence[str]) -> str:
    """Return why a channel is off, or how to switch it on."""
    prefix = f"{name} is off: "
    for problem in problems:
        if problem.startswith(prefix) and problem != prefix:
            return f"off: {problem.removeprefix(prefix)}"
    return f"off (microclaw config set {_SWITCH[name]})"
