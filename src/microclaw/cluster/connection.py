"""The connection to NATS that everything of a cluster uses, and the names of what it keeps there.

All names begin with the cluster's: the streams and buckets `MC-<cluster>-LOG`, `-HOSTS`, `-META`, `-FILES`, and the
subjects `mc.<cluster>.>`. So one NATS account serves several clusters, and one line of its rules shuts a cluster's
user in (docs/cluster.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from microclaw.addresses import bracketed
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.errors import ConfigError, StoreUnreachable

try:
    import nats.errors
    from nats.aio.client import Client
    from nats.js.errors import APIError
except ImportError as exc:  # pragma: no cover - the extra is there in tests
    raise ConfigError(
        "a cluster needs the NATS client", next_step="pip install 'microclaw[nats]' (from a checkout: make nats)"
    ) from exc

from microclaw.cluster.nats_client import HostClient, Refusal, is_refusal, next_step, reason, tls_context
from microclaw.cluster.sign_on import sign_on_options

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

CONNECT_S: Final = 5.0
RECONNECT_S: Final = 0.25
FIRST_S: Final = 10.0  # all servers, one after the other
OUTAGES: Final = (TimeoutError, ConnectionError, nats.errors.Error, APIError)  # of a request to NATS
MAX_SAID: Final = 100  # different reasons, in one outage
_NO_LEADER: Final = 10008  # "JetStream system temporarily unavailable"
_AWAY: Final = "nothing that needs the other hosts is done until it is back: microclaw cluster status"
FREE_S: Final = 1.0
PING_S: Final = 5  # a server that is gone without a word is noticed after two of them
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connection with JetStream behind it. `replicas` is how many servers keep each thing, `urls` are as given."""

    name: str
    client: Client
    jetstream: JetStreamContext
    replicas: int
    urls: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """Of every subject."""
        return f"mc.{self.name}"

    def stream(self, what: str) -> str:
        """The name of a stream or bucket."""
        return f"MC-{self.name}-{what}"

    @property
    def connected(self) -> bool:
        return bool(self.client.is_connected)

    async def leave_server(self) -> None:
        """Connect to another server, where there is one: this one answers nothing that needs its fellows."""
        if self.connected and len(self.client.servers) > 1:
            _log.warning("this NATS server does not answer as one of a cluster: another is asked")
            await self.client.force_reconnect()


def unreachable(what: str, exc: BaseException, *, next_step: str = _AWAY) -> StoreUnreachable:
    return StoreUnreachable(f"{what}: NATS cannot be reached or does not answer ({reason(exc)})", next_step=next_step)


@asynccontextmanager
async def subscribed(cluster: Cluster, subject: str, took: Callable[[Msg], Awaitable[None]]) -> AsyncIterator[None]:
    """Inside, `took` gets every message to the subject, one after another. StoreError when NATS does not answer."""
    try:
        subscription = await cluster.client.subscribe(subject, cb=took)
        await cluster.client.flush(int(CONNECT_S))  # the server knows it: nothing that is sent from now on is missed
    except OUTAGES as exc:
        raise unreachable(f"{subject} cannot be read", exc) from exc
    try:
        yield
    finally:
        try:
            await subscription.unsubscribe()
        except OUTAGES as exc:
            _log.debug("the subscription to %s ended with its connection: %s", subject, exc)


def check_cancelled() -> None:
    """To be called in each turn of a loop that asks NATS and goes on after errors, as this task may be cancelled.

    NATS' client waits with `asyncio.wait_for`, which in Python 3.11 loses a cancellation that comes with the answer.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@asynccontextmanager
async def connected(settings: ClusterSettings, *, name: str) -> AsyncIterator[Cluster]:
    """Connect as the client `name`; afterwards it connects again for ever.

    Raises ConfigError when no server answers, none may be used or takes this user, or there is no JetStream.
    """
    urls = [url.strip().lower() for url in (settings.nats or "").split(",")]
    where = ", ".join(_shown(url) for url in urls)
    if not settings.with_tls and (settings.ca_file or settings.cert_file):
        raise ConfigError(
            f"cluster.ca_file or cert_file is set, and {where} is without TLS",
            next_step=f"name the servers with tls://: {where.replace('nats://', 'tls://')}",
        )
    client = await _first_connection(settings, urls, where, name)
    try:
        jetstream = client.jetstream(timeout=CONNECT_S)
        await _check_jetstream(client, jetstream, where, settings.name)
        replicas = settings.replicas or (3 if _servers(client, urls) >= 3 else 1)
        freeing = asyncio.create_task(_free(client), name="cluster: leave servers that take nothing")
        try:
            yield Cluster(settings.name, client, jetstream, replicas, tuple(urls))
        finally:
            freeing.cancel()
    finally:
        await _closed(client)


async def _first_connection(settings: ClusterSettings, urls: list[str], where: str, name: str) -> HostClient:
    """ConfigError when there is none soon. NATS' client would try for ever, as it does after an outage."""
    troubles = _Troubles(len(urls))
    try:
        client = HostClient(settings)
        connecting = asyncio.ensure_future(client.connect(**_options(settings, urls, name, client, troubles)))
    except Refusal as exc:
        raise ConfigError(f"no sign-on at {where}: {exc}", next_step=exc.next_step) from exc
    try:
        await asyncio.wait((connecting, troubles.hopeless), timeout=FIRST_S, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            await connecting
            troubles.is_connected = True
            return client
    except (OSError, TimeoutError, nats.errors.Error) as exc:
        troubles.note(exc)
    finally:
        if not connecting.done():
            connecting.cancel()
            await asyncio.wait((connecting,))
    await _closed(client)
    trouble = troubles.worst or TimeoutError("no answer")
    which = f"no NATS server at {where}{' can be used' if is_refusal(trouble) else ''}"
    raise ConfigError(f"{which}: {reason(trouble)}", next_step=next_step(trouble)) from trouble


class _Troubles:
    """Why servers were not connected, until one is: `hopeless` is done when each of `servers` refused."""

    def __init__(self, servers: int) -> None:
        self.worst: Exception | None = None
        self.is_connected = False
        self.hopeless: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = servers
        self._said: set[str] = set()

    def note(self, exc: Exception) -> None:
        if is_refusal(exc):
            self._left -= 1
            self.worst = exc
        elif self.worst is None or not is_refusal(self.worst):
            self.worst = exc
        if self._left <= 0 and not self.hopeless.done():
            self.hopeless.set_result(None)

    def say(self, exc: Exception) -> None:
        """In the log, once until `calm`: a server is tried some times a second."""
        text = reason(exc)
        if text not in self._said and len(self._said) < MAX_SAID:
            self._said.add(text)
            _log.warning("NATS: %s; next: %s", text, next_step(exc)) if is_refusal(exc) else _log.info("NATS: %s", text)

    def calm(self) -> None:
        self._said.clear()


def _options(
    settings: ClusterSettings, urls: list[str], name: str, client: Client, troubles: _Troubles
) -> dict[str, Any]:
    """For `Client.connect`. Refusal where a file of the settings is of no use."""
    if settings.with_tls:
        tls_context(settings)  # says what is wrong with its files before anybody is asked

    async def note(exc: Exception) -> None:
        if troubles.is_connected:
            troubles.say(exc)
        else:
            troubles.note(exc)

    async def note_disconnected() -> None:
        if not client.is_closed:
            _log.warning("the connection to NATS is lost; connecting again")

    async def note_reconnected() -> None:
        troubles.calm()
        _log.warning("the connection to NATS is back")

    return {
        "servers": urls,
        "name": name,
        "connect_timeout": int(CONNECT_S),
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": RECONNECT_S,  # it is slept for: no need of whole seconds
        "ping_interval": PING_S,
        "max_outstanding_pings": 2,
        "pending_size": 8 << 20,
        "error_cb": note,
        "disconnected_cb": note_disconnected,
        "reconnected_cb": note_reconnected,
        # Answers come below the cluster's own subjects: its users need no right on everybody's inboxes.
        "inbox_prefix": f"mc.{settings.name}.inbox",
        **sign_on_options(settings),
    }


async def _check_jetstream(client: HostClient, jetstream: JetStreamContext, where: str, name: str) -> None:
    """ConfigError without one, or where this user may not ask it: then NATS tells that, and gives no answer."""
    asking = asyncio.ensure_future(_asked_until_it_has_a_leader(jetstream))
    try:
        await asyncio.wait((asking, client.denied), return_when=asyncio.FIRST_COMPLETED)
        if not asking.done() and client.denied.done():
            raise ConfigError(
                f"this user of the NATS server at {where} may not do what the cluster {name} needs: "
                f"{client.denied.result()}",
                next_step=f"allow it what docs/cluster.md lists for the name {name}, or correct cluster.name",
            )
        await asking
    except OUTAGES as exc:
        if isinstance(exc, APIError) and exc.err_code == _NO_LEADER:
            raise ConfigError(
                f"JetStream at {where} does not work now: {reason(exc)}",
                next_step="most of the NATS servers must run and have a leader: wait some seconds, then try again",
            ) from exc
        if isinstance(exc, TimeoutError):
            raise ConfigError(
                f"the NATS server at {where} takes the connection, and JetStream did not answer within {CONNECT_S:g} s",
                next_step="see the server's log: it is busy, or most of its fellows are away, or this user may not ask "
                "$JS.API.INFO (docs/cluster.md, Security); then try again",
            ) from exc
        raise ConfigError(
            f"the NATS server at {where} has no JetStream for this user: {reason(exc)}",
            next_step="start it with -js (or `jetstream {}` in its configuration), and allow the user $JS.API.>",
        ) from exc
    finally:
        asking.cancel()
        await asyncio.wait((asking,))


async def _free(client: Client) -> None:
    """Abort each connection that is given up. NATS' client would wait until it has taken what was still to be sent,
    for ever where the server was stopped, or is behind a broken wire, and would try no other server meanwhile."""
    while True:
        await asyncio.sleep(FREE_S)
        writer = getattr(client._transport, "_io_writer", None)  # nats-py has no way to it
        if writer is not None and client.is_reconnecting and writer.transport.is_closing():
            writer.transport.abort()


async def _asked_until_it_has_a_leader(jetstream: JetStreamContext) -> None:
    """NATS servers that have just started choose one within seconds; for `FIRST_S` at most."""
    give_up = asyncio.get_running_loop().time() + FIRST_S
    while True:
        try:
            await jetstream.account_info()
            return
        except APIError as exc:
            if exc.err_code != _NO_LEADER or asyncio.get_running_loop().time() > give_up:
                raise
        await asyncio.sleep(RECONNECT_S)


def _servers(client: Client, urls: list[str]) -> int:
    """How many there are: those that the server tells its clients of, or that were named here. One may be down."""
    facts = client._server_info  # nats-py's own list lacks the named ones, or has them twice
    return max(len(facts.get("connect_urls") or ()), len(set(urls))) if facts.get("cluster") else 1


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{bracketed(parts.hostname or '')}:{parts.port or 4222}"


async def _closed(client: HostClient) -> None:
    try:
        async with asyncio.timeout(2):
            await client.close()
    except (OSError, nats.errors.Error) as exc:
        _log.debug("the connection to NATS was left open: %s", exc)
    finally:
        client.drop_connection()
