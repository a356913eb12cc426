"""The host's status, from data that it already has. It asks no device."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw import __version__
from microclaw.agent.models.protocol import Model
from microclaw.agent.models.router import outages_of
from microclaw.agent.models.usage import UsageLog
from microclaw.clock import now_ms
from microclaw.conversion import convert
from microclaw.devices.link.device_facts import pending_pairings
from microclaw.host.audit.log import AuditLog, alarm_text
from microclaw.host.auth.admission import Admission
from microclaw.host.auth.people import is_owner
from microclaw.host.backup.scheduled import ScheduledBackups
from microclaw.host.builder.hooks import Row
from microclaw.host.config.settings import BudgetSettings
from microclaw.host.operations.result import filled
from microclaw.host.store.crashes import CrashTable
from microclaw.host.store.database import Database
from microclaw.host.store.outbox import OutboxRow
from microclaw.interfaces.api.host import HostInfo
from microclaw.interfaces.api.results import (
    AlarmFacts,
    DeferredStatus,
    DeviceStatus,
    HostStatus,
    HttpsFacts,
    LinkStatus,
    ModelOutage,
    StatusRow,
)
from microclaw.supervision import SupervisedTasks
from microclaw.text import count_text

_DAY_MS: Final = 86_400_000
# Lines for the approvals, and for deferred acts that ended.
SHOWN: Final = 5
OFFLINE: Final = "offline"
# Devices that are read before the event loop runs other tasks.
DEVICES_A_STEP: Final = 200


class StatusReader(Struct, frozen=True):
    """Reads the host's status, in the form `form`. `costs` yields an owner's lines about costs and copies."""

    host: HostInfo
    tasks: SupervisedTasks
    audit: AuditLog
    database: Database
    costs: Callable[[], AsyncIterator[Row]]
    form: Callable[..., HostStatus]

    async def read(self, person_id: str) -> HostStatus:
        """Return the document of GET /v1/status, for an owner or for another person."""
        host = self.host
        is_by_owner = is_owner(host.admission.people, person_id)
        status = await self._facts()
        if is_by_owner:
            status = await self._add_owner_facts(status)
        rows = [*_screen(host, status)]
        rows += [row async for row in host.hooks.rows("services")]
        if is_by_owner:
            rows += [row async for row in self._owner_screen(status)]
            rows += _undelivered(await host.conversations.inbox.outbox.failures())
        rows += await self._events(status)
        return replace(status, screen=[StatusRow(about, text) for about, text in rows])

    async def _facts(self) -> HostStatus:
        """Return the fields that every person gets."""
        host = self.host
        plane = host.plane
        cluster = host.settings.cluster
        model, hint = await describe_model(host.conversations.model)
        https = HttpsFacts()
        if plane is not None:
            https = HttpsFacts(plane.urls, plane.local_url, plane.fingerprint)
        return self.form(
            version=__version__,
            host=None if cluster.database is None else cluster.host_name,
            http=host.http,
            https=https,
            link=await _link(host),
            up_s=round(time.monotonic() - host.began_s, 1),
            rss_mb=round(resident_mb(), 1),
            model=model,
            model_hint=hint,
            deferred=await _deferred(host),
            devices=await _devices(host),
            **host.hooks.read_fields(for_owners=False),
        )

    async def _add_owner_facts(self, status: HostStatus) -> HostStatus:
        host = self.host
        outages = outages_of(host.conversations.model)
        return replace(
            status,
            pid=os.getpid(),
            home=str(host.settings.home),
            problems=host.problems,
            alarms=await self._alarms(),
            failing=[task.text for task in self.tasks.failing()],
            model_outages=[convert(outage, ModelOutage, from_attributes=True) for outage in outages],
            **host.hooks.read_fields(for_owners=True),
        )

    async def _owner_screen(self, status: HostStatus) -> AsyncIterator[Row]:
        """Yield the lines that only an owner gets."""
        host = self.host
        for outage in status.model_outages or ():
            yield "model", _outage_text(outage)
        async for row in host.hooks.rows("connections"):
            yield row
        for text in status.failing or ():
            yield "failing", text
        for text in status.problems or ():
            if text.partition(" is off: ")[0] not in host.hooks.names_with_row:
                yield "off", text
        for alarm in status.alarms or ():
            yield "alarm", f"{alarm.text}   {alarm.next_step}"
        async for row in self.costs():
            yield row
        async for row in host.hooks.rows("plans"):
            yield row
        for text in _approval_lines(host.admission):
            yield "approval", text

    async def _events(self, status: HostStatus) -> list[Row]:
        """Return the lines about acts that wait and faults at devices."""
        rows = [("deferred", deferred.line) for deferred in status.deferred]
        crashes = await CrashTable(self.database).groups(since_ms=now_ms() - _DAY_MS)
        if crashes:
            devices: set[str] = set()
            for crash in crashes:
                devices.update(crash.devices)
            boards = count_text(len(devices), "board")
            text = f"{count_text(len(crashes), 'kind')} of crash in the last day on {boards}"
            rows.append(("crash", f"{text}; next: microclaw device crashes"))
        rows += [row async for row in self.host.hooks.rows("events")]
        return rows

    async def _alarms(self) -> list[AlarmFacts]:
        alarms = []
        for alarm in self.audit.alarms():
            device = self.host.devices.owner_of(f"link:{alarm.event.about}")
            if device is None:
                name = alarm.event.about or "a device"
            else:
                name = device.name
            text, step = alarm_text(alarm, name)
            alarms.append(AlarmFacts(alarm.event.kind.value, name, alarm.at_ms, text, step))
        refusal = await self.database.write_error()
        if refusal is not None:
            alarms.append(AlarmFacts(refusal.code, "this host", now_ms(), refusal.message, refusal.next_step))
        return alarms


async def costs_and_copies(
    usage: UsageLog, budget: BudgetSettings, mcp: Callable[[], Mapping[str, str]], backups: ScheduledBackups
) -> AsyncIterator[Row]:
    """Yield an owner's lines about the costs of models, about MCP servers and about backups."""
    today = (await usage.report("day", 1)).today
    if today.requests or budget.day_usd is not None or budget.day_tokens is not None:
        usd_limit = ""
        if budget.day_usd is not None:
            usd_limit = f" of ${budget.day_usd:.2f}"
        token_limit = ""
        if budget.day_tokens is not None:
            token_limit = f" of {budget.day_tokens:,}"
        yield "usage", f"today ${today.cost_usd:.2f}{usd_limit}, {today.tokens:,}{token_limit} tokens"
    for name, state in mcp().items():
        yield "mcp", f"{name}: {state}"
    backup = backups.text()
    if backup is not None:
        yield "backup", backup


def _approval_lines(admission: Admission) -> Iterator[str]:
    questions = admission.approvals.pending()
    for question in questions[:SHOWN]:
        yield f"{question.action} (asked by {admission.gate.name_of(question.person_id)})"
    if questions:
        yield f"{len(questions)} in all: microclaw approval list"


def _screen(host: HostInfo, status: HostStatus) -> Iterator[Row]:
    pid = ""
    if status.pid is not None:
        pid = f" (pid {status.pid})"
    yield "host", f"running{pid}, up {status.up_s:.0f} s, {status.rss_mb:.0f} MB"
    yield "api", status.http or "only the control socket"
    if status.link is None:
        yield "link", "off: no device can connect here"
    else:
        yield "link", status.link.text
        for pairing in status.link.waiting:
            yield "pairing", pairing.text
    yield "model", status.model
    window = host.conversations.context.window
    if window is not None and window.tokens < window.configured_tokens:
        text = f"{window.tokens:,} tokens; configured: {window.configured_tokens:,}"
        yield "context", f"learned from the server's refusal: {text}"


def _outage_text(outage: ModelOutage) -> str:
    if outage.next_step:
        return f"{outage.reason} - {outage.next_step}"
    return outage.reason


def _undelivered(rows: Sequence[OutboxRow]) -> list[Row]:
    """Return the line about undelivered messages; an empty list if all were delivered."""
    if not rows:
        return []
    newest = rows[0]
    text = f"{count_text(len(rows), 'message')} in the last day; newest: chat {newest.chat_id}, {newest.failed}"
    return [("undelivered", text)]


async def _link(host: HostInfo) -> LinkStatus | None:
    server = host.link
    if server is None:
        return None
    connected = sorted(link.name for link in server.links.online)
    return LinkStatus(address=server.address, connected=connected, waiting=await pending_pairings(server))


async def _deferred(host: HostInfo) -> list[DeferredStatus]:
    """Return the acts that are queued for devices, and the newest outcomes of the last day."""
    log = host.apps.deferrals.log
    since_ms = now_ms() - _DAY_MS
    names = {device.device_id: device.name for device in host.devices.list()}
    acts = [act for act in await log.waiting() if act.device_id in names]
    acts += [act for act in await log.ended(limit=SHOWN) if (act.ended_ms or 0) > since_ms]
    statuses = []
    for act in acts:
        text = act.text(names.get(act.device_id, act.device_id))
        statuses.append(DeferredStatus(text, act.state, act.ended_ms or act.at_ms, act.outcome))
    return statuses


async def _devices(host: HostInfo) -> list[DeviceStatus]:
    checks = {check.device_id: check for check in host.apps.reconciler.status()}
    apps: dict[str, list[str]] = {}
    for app in await host.apps.change_log.desired():
        apps.setdefault(app.device_id, []).append(app.name)
    processes = host.boards.standing()
    statuses = list[DeviceStatus]()
    for device in host.devices.list():
        check = checks.get(device.device_id)
        reachable = device.reachable
        if check is not None and check.problem and check.unreachable_since_ms:
            reachable = False
        status = filled(
            DeviceStatus,
            device,
            board=device.board.board_id,
            transports=tuple(device.endpoints),
            apps=apps.get(device.device_id, []),
            reachable=reachable,
            problem=None if check is None else check.problem,
            process=processes.get(device.device_id),
        )
        statuses.append(status)
        if len(statuses) % DEVICES_A_STEP == 0:
            await asyncio.sleep(0)
    return statuses


async def describe_model(model: Model) -> tuple[str, str | None]:
    """Return the model that answers, and what a person can do to change it."""
    if model.name != OFFLINE:
        return _model_text(model), None
    # The sentences are loaded after the host's start.
    from microclaw.agent.offline.sentences import english

    kinds = len((await asyncio.to_thread(english)).examples)
    return (
        f"none: no API key set. Offline intents answer ({kinds} kinds of sentence).",
        "any sentence: microclaw setup, or set ANTHROPIC_API_KEY or OPENAI_BASE_URL, then run again",
    )


def _model_text(model: Model) -> str:
    outage = next((outage for outage in outages_of(model) if outage.model == model.name), None)
    if outage is None:
        return f"{model.name} answers"
    if outage.instead:
        text = f"{outage.instead} answers instead of {outage.model}"
    else:
        text = f"{outage.model} does not answer"
    return f"{text} ({outage.why}; {outage.retry_text})"


def resident_mb() -> float:
    """Return this process's memory in RAM in MiB; its highest value if the system does not report the current one."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / (1 << 20)
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS reports bytes, Linux KiB.
    if sys.platform == "darwin":
        return highest / (1 << 20)
    return highest / 1024
