"""Duties: what one host of the cluster does for all (a bot's messages, rollouts), while its lease is good.

A duty is a key of a bucket, changed by compare-and-swap: who holds it, and a fence that grows with each taking. It has
no lease of its own: it is its holder's while that host's lease is good (hosts.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import msgspec
from nats.js.api import KeyValueConfig
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NoStreamResponseError, NotFoundError
from nats.js.kv import KeyValue

from microclaw.cluster.connection import OUTAGES, Cluster, check_cancelled, unreachable
from microclaw.cluster.forms import Count, HostId, check_value
from microclaw.cluster.hosts import Hosts
from microclaw.errors import ProtocolError

POLL_S: Final = 1.0
RELEASE_S: Final = 2.0

_log = logging.getLogger(__name__)


class DutyHolder(msgspec.Struct, frozen=True, omit_defaults=True):
    """`holder` None: nobody has it. `fence` grows with each taking."""

    holder: HostId | None
    fence: Count
    form: int = 1


@dataclass(frozen=True, slots=True)
class _Held:
    name: str
    fence: int
    revision: int
    term: int


class Duties:
    """Made by `Duties.opened`, on hosts that stay open for longer."""

    def __init__(self, cluster: Cluster, hosts: Hosts, is_able: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._hosts = hosts
        self._is_able = is_able
        self._jetstream = cluster.client.jetstream(timeout=hosts.times.renew_s)
        self._known: dict[str, DutyHolder] = {}
        self.overwritten: dict[str, int] = {}  # how often this host put a duty right that had become unreadable
        self._news = asyncio.Event()
        self._said = ""

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, cluster: Cluster, hosts: Hosts, *, is_able: Callable[[], bool] = lambda: True
    ) -> AsyncIterator[Duties]:
        """Without being able to (`is_able`) this host has no duty. Raises StoreError when NATS does not answer."""
        duties = cls(cluster, hosts, is_able)
        try:
            await duties._make_bucket()
        except OUTAGES as exc:
            raise unreachable("the duties of the cluster cannot be seen", exc) from exc
        hosts.listeners.append(duties._hosts_changed)
        try:
            yield duties
        finally:
            hosts.listeners.remove(duties._hosts_changed)

    @property
    def known(self) -> Mapping[str, DutyHolder]:
        """The duties that this host has or waits for, as it last saw them."""
        return MappingProxyType(self._known)

    async def hold(self, name: str, work: Callable[[int], Awaitable[None]]) -> None:
        """Run `work(fence)` while this host has the duty; returns when the work ended by itself.

        The work is cancelled when the duty is lost, before another host may have it, and begins again when it is won
        back. What it changes outside should carry the fence. An error of the work frees the duty and is raised.
        """
        while not await self._work(await self._taken(name), work):
            check_cancelled()

    async def _taken(self, name: str) -> _Held:
        """Wait until this host has it."""
        while True:
            check_cancelled()
            news = self._news
            held = None
            try:
                held = await self._take(name)
            except NoStreamResponseError:
                await self._make_again()
            except (*OUTAGES, ProtocolError) as exc:  # a newer host's is not this one's to take
                _log.debug("the duty %s cannot be asked for: %s", name, exc)
            if held is not None:
                _log.info("this host has the duty %s now, fence %d", name, held.fence)
                return held
            await self._pause(news)

    async def _take(self, name: str) -> _Held | None:
        hosts = self._hosts
        term = hosts.term
        if hosts.lost or hosts.work_left_s <= 0 or not self._is_able():
            return None
        bucket = self._keys()
        before = self._known.get(name, DutyHolder(None, 0))
        found, revision = await _read(bucket, name)
        # What cannot be read counts as deleted. The bucket's revision is more than each fence that was in it.
        fence = max(before.fence, found.fence if found is not None else revision) + 1
        if found is None:
            # Never held, or deleted by hand: then somebody may still work on it, who looks again soon.
            is_first = before.fence == 0 and hosts.live.keys() == {hosts.host_id}
            free = is_first or before.holder == hosts.host_id or hosts.steady_s >= hosts.times.ttl_s
        else:
            self._known[name] = found
            is_gone = found.holder is not None and not hosts.is_live(found.holder)
            free = (
                found.holder in (None, hosts.host_id)
                # Who has just come, or saw a gap, may not have seen the holder yet.
                or (is_gone and not hosts.stale and hosts.steady_s >= hosts.times.ttl_s)
            )
        if not free:
            return None
        mine = DutyHolder(hosts.host_id, fence)
        revision_before = revision
        try:
            revision = await bucket.update(name, msgspec.json.encode(mine), last=revision)
        except KeyWrongLastSequenceError:
            return None  # another was faster
        self._known[name] = mine
        if found is None and revision_before:
            self.overwritten[name] = self.overwritten.get(name, 0) + 1
            _log.warning("the duty %s was overwritten by nobody of this cluster; it is as it should be again", name)
        if hosts.term != term or hosts.work_left_s <= 0:
            return None
        return _Held(name, fence, revision, term)

    async def _work(self, held: _Held, work: Callable[[int], Awaitable[None]]) -> bool:
        """Whether the work ended by itself; else the duty is lost."""
        working = asyncio.ensure_future(work(held.fence))
        watching = asyncio.create_task(self._until_lost(held), name=f"cluster: watch the duty {held.name}")
        try:
            await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await working
                return True
            _log.warning("this host has the duty %s no more", held.name)
            return False
        finally:
            working.cancel()
            watching.cancel()
            _, ended = await asyncio.gather(watching, working, return_exceptions=True)
            if isinstance(ended, Exception):
                _log.info("the work of the duty %s ended: %s", held.name, ended)
            await self._release(held)

    async def _until_lost(self, held: _Held) -> None:
        hosts = self._hosts
        while (left := hosts.work_left_s) > 0 and hosts.term == held.term and self._is_able():
            check_cancelled()
            news = self._news
            try:
                async with asyncio.timeout(left):
                    found, _ = await _read(self._keys(), held.name)
                if found is None or (found.holder, found.fence) != (hosts.host_id, held.fence):
                    return
            except OUTAGES as exc:
                _log.debug("the duty %s cannot be looked at: %s", held.name, exc)
            except ProtocolError:
                return
            await self._pause(news, max(0.0, min(POLL_S, hosts.work_left_s)))

    async def _release(self, held: _Held) -> None:
        """Others need not wait until this host is gone. Nothing where it is another's, or NATS is away."""
        free = msgspec.json.encode(DutyHolder(None, held.fence))
        try:
            async with asyncio.timeout(RELEASE_S):
                if self._cluster.connected:
                    await self._keys().update(held.name, free, last=held.revision)
                    self._known[held.name] = DutyHolder(None, held.fence)
        except OUTAGES as exc:  # among them: it is another's
            _log.debug("the duty %s was not freed: %s", held.name, exc)

    def _keys(self) -> KeyValue:
        """The bucket, without asking for it each time."""
        name = self._cluster.stream("DUTIES")
        return KeyValue(name, f"KV_{name}", f"$KV.{name}.", self._jetstream, direct=False)

    async def _make_bucket(self) -> None:
        config = KeyValueConfig(bucket=self._cluster.stream("DUTIES"), history=1, replicas=self._cluster.replicas)
        await self._jetstream.create_key_value(config)

    async def _make_again(self) -> None:
        """Where somebody deleted the bucket."""
        try:
            await self._make_bucket()
            self._said = ""
        except OUTAGES as exc:
            if (said := str(exc)) != self._said:  # once in an outage
                _log.info("the cluster's duties cannot be made again: %s", said)
                self._said = said

    async def _pause(self, news: asyncio.Event, most_s: float = POLL_S) -> None:
        # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the news.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await news.wait()

    def _hosts_changed(self, _joined: frozenset[str], _left: frozenset[str]) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


async def _read(bucket: KeyValue, name: str) -> tuple[DutyHolder | None, int]:
    """Who has the duty, and the key's revision; None for what is no duty, and 0 where there is no such key.

    ProtocolError for one of a newer microclaw.
    """
    try:
        entry = await bucket.get(name)
    except (KeyNotFoundError, NotFoundError):
        return None, 0
    value = entry.value or b""
    check_value(value, f"the duty {name}")
    try:
        return msgspec.json.decode(value, type=DutyHolder), entry.revision or 0
    except (msgspec.DecodeError, RecursionError):
        return None, entry.revision or 0
