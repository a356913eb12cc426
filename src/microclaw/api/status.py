"""The host's status, from what it already knows. It asks no device."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, convert
from msgspec.structs import replace

from microclaw import __version__
from microclaw.api.host import ChannelStates, Host
from microclaw.api.operations import (
    AlarmFacts,
    DeferredStatus,
    DeviceStatus,
    HttpsFacts,
    LinkStatus,
    ModelOutage,
    Status,
    StatusRow,
)
from microclaw.audit.log import AuditLog, alarm_text
from microclaw.auth.admission import Admission
from microclaw.auth.people import is_owner
from microclaw.backup.scheduled import ScheduledBackups
from microclaw.clock import now_ms
from microclaw.config.settings import BudgetSettings
from microclaw.link_server.device_facts import pending_pairings
from microclaw.models.protocol import Model
from microclaw.models.router import outages_of
from microclaw.models.usage import UsageLog
from microclaw.operations.result import filled
from microclaw.ota.rollouts import Rollouts
from microclaw.schedules.book import ScheduleBook
from microclaw.store.crashes import CrashTable
from microclaw.store.database import Database
from microclaw.store.outbox import OutboxRow
from microclaw.supervision import SupervisedTasks
from microclaw.tasks.service import TaskService
from microclaw.telemetry.history import TelemetryHistory
from microclaw.telemetry.mqtt_text import mqtt_line
from microclaw.telemetry.operations import refused_values
from microclaw.text import count_text, moment_text

_DAY_MS: Final = 86_400_000
SHOWN: Final = 5  # of the schedules that are due next, of the approvals, and of deferred acts that ended
OFFLINE: Final = "offline"
AT_ONCE: Final = 200  # devices that are told before the event loop does something else
_SWITCH: Final = {"telegram": "telegram.token", "the chat gateway": "gateway.enabled true"}


class StatusReader(Struct, frozen=True):
    """`plans` is the rest of an owner's screen."""

    host: Host
    tasks: SupervisedTasks
    audit: AuditLog
    database: Database
    history: TelemetryHistory
    mqtt: Callable[[], Mapping[str, Any]]
    plans: Callable[[], AsyncIterator[tuple[str, str]]]

    async def read(self, person_id: str) -> Status:
        """The document of GET /v1/status, for an owner or for somebody else."""
        host = self.host
        at = self.host.plane
        by_owner = is_owner(self.host.admission.people, person_id)
        model, hint = await describe_model(host.conversations.model)
        link = None
        server = host.link
        if server is not None:
            connected = sorted(one.name for one in server.links.online)
            link = LinkStatus(address=server.address, connected=connected, waiting=await pending_pairings(server))
        made = Status(
            version=__version__,
            host=None if host.settings.cluster.database is None else host.settings.cluster.host_name,
            http=host.http,
            https=HttpsFacts() if at is None else HttpsFacts(at.urls, at.local_url, at.fingerprint),
            link=link,
            xiaozhi=host.voice.xiaozhi_object(),
            wyoming=host.voice.wyoming_object(),
            up_s=round(time.monotonic() - host.began_s, 1),
            rss_mb=round(resident_mb(), 1),
            model=model,
            model_hint=hint,
            deferred=await _deferred(host),
            devices=await _devices(host),
        )
        if by_owner:
            outages = outages_of(host.conversations.model)
            made = replace(
                made,
                pid=os.getpid(),
                home=str(host.settings.home),
                problems=host.problems,
                alarms=await self._alarms(),
                gateway_open=host.channels.gateway is not None and host.channels.gateway_open,
                failing=[one.text for one in self.tasks.failing()],
                mqtt=dict(self.mqtt()),
                model_outages=[convert(one, ModelOutage, from_attributes=True) for one in outages],
            )
        screen = [*_screen(host, made)]
        if by_owner:
            screen += [*_screen_of_owners(host, made), *[row async for row in self.plans()]]
            screen += _undelivered(await host.conversations.inbox.outbox.failures())
        screen += await self._events(made)
        return replace(made, screen=[StatusRow(about, text) for about, text in screen])

    async def _events(self, made: Status) -> list[tuple[str, str]]:
        """The events that wait and the faults at devices."""
        rows = [("deferred", one.line) for one in made.deferred]
        crashes = await CrashTable(self.database).groups(since_ms=now_ms() - _DAY_MS)
        if crashes:
            boards = count_text(len({device for one in crashes for device in one.devices}), "board")
            text = f"{count_text(len(crashes), 'kind')} of crash in the last day on {boards}"
            rows.append(("crash", f"{text}; next: microclaw device crashes"))
        return [*rows, *(("telemetry", f"{one.device}: {one.text}") for one in refused_values(self.history))]

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
        refusal = await self.database.refusal()
        if refusal is not None:
            alarms.append(AlarmFacts(refusal.code, "this host", now_ms(), refusal.message, refusal.next_step))
        return alarms


async def costs_and_plans(
    usage: UsageLog,
    budget: BudgetSettings,
    mcp: Callable[[], Mapping[str, str]],
    backups: ScheduledBackups,
    tasks: TaskService,
    rollouts: Rollouts,
    book: ScheduleBook,
    admission: Admission,
) -> AsyncIterator[tuple[str, str]]:
    """The rest of an owner's screen: what is spent, what runs at times, what waits."""
    today = (await usage.report("day", 1)).today
    if today.requests or budget.day_usd is not None or budget.day_tokens is not None:
        if budget.day_usd is None:
            usd = ""
        else:
            usd = f" of ${budget.day_usd:.2f}"
        if budget.day_tokens is None:
            tokens = ""
        else:
            tokens = f" of {budget.day_tokens:,}"
        yield "usage", f"today ${today.cost_usd:.2f}{usd}, {today.tokens:,}{tokens} tokens"
    for name, state in mcp().items():
        yield "mcp", f"{name}: {state}"
    backup = backups.text()
    if backup is not None:
        yield "backup", backup
    code = tasks.counts()
    if code["running"] or code["waiting"] or code["endings"]:
        text = f"{code['running']} running, {code['waiting']} waiting, {sum(code['endings'].values())} ended"
        yield "code", f"{text}: microclaw task list"
    for rollout in await rollouts.standing():
        number = rollout.row.rollout_id
        text = f"{number} of {rollout.row.version}: {rollout.row.state}, {rollout.text}"
        yield "rollout", f"{text}; next: microclaw firmware rollouts {number}"
    schedules = await book.all()
    due = [(one.next_ms, one) for one in schedules if one.state == "active" and one.next_ms is not None]
    soon = sorted(due, key=lambda one: one[0])[:SHOWN]
    for next_ms, one in soon:
        yield "schedule", f"{moment_text(next_ms)}   {one.what} ({one.said})"
    if len(schedules) > len(soon):
        yield "schedule", f"{len(schedules)} in all: microclaw schedule list"
    pending = admission.approvals.pending()
    name_of = admission.gate.name_of
    for asked in pending[:SHOWN]:
        yield "approval", f"{asked.action} (asked by {name_of(asked.person_id)})"
    if pending:
        yield "approval", f"{len(pending)} in all: microclaw approval list"


def _screen(host: Host, made: Status) -> Iterator[tuple[str, str]]:
    if made.pid is None:
        pid = ""
    else:
        pid = f" (pid {made.pid})"
    yield "host", f"running{pid}, up {made.up_s:.0f} s, {made.rss_mb:.0f} MB"
    yield "api", made.http or "only the control socket"
    link = made.link
    yield "link", "off: no device can connect here" if link is None else link.text
    for one in () if link is None else link.waiting:
        yield "pairing", one.text
    yield "model", made.model
    window = host.conversations.context.window
    if window is not None and window.tokens < window.configured_tokens:
        text = f"{window.tokens:,} tokens; configured: {window.configured_tokens:,}"
        yield "context", f"learned from the server's refusal: {text}"
    if made.xiaozhi["ota"]:
        yield "xiaozhi", f"{made.xiaozhi['ota']}   {count_text(made.xiaozhi['connected'], 'device')} connected"
    if made.wyoming["address"]:
        yield "wyoming", made.wyoming["address"]


def _screen_of_owners(host: Host, made: Status) -> Iterator[tuple[str, str]]:
    for one in made.model_outages or ():
        yield "model", f"{one.reason}{f' - {one.next_step}' if one.next_step else ''}"
    yield from _channels(host.channels, host.settings.problems)
    if made.mqtt and made.mqtt["state"] != "off":
        yield "mqtt", mqtt_line(made.mqtt)
    for text in made.failing or ():
        yield "failing", text
    for text in made.problems or ():
        if text.partition(" is off: ")[0] not in _SWITCH:
            yield "off", text
    for alarm in made.alarms or ():
        yield "alarm", f"{alarm.text}   {alarm.next_step}"


def _channels(channels: ChannelStates, problems: Sequence[str]) -> Iterator[tuple[str, str]]:
    telegram = channels.telegram
    if telegram is None:
        yield "telegram", _off("telegram", problems)
    elif telegram.phase == "listening":
        yield "telegram", f"@{(telegram.bot or '').removeprefix('@')} listens"
    else:
        yield "telegram", f"{telegram.phase}: {telegram.reason}" if telegram.reason else telegram.phase
    if channels.gateway is None:
        yield "gateway", _off("the chat gateway", channels.problems)
    else:
        text = f"{channels.gateway}   {count_text(channels.clients(), 'client')}"
        warning = "   open: every program of this machine is the owner there" if channels.gateway_open else ""
        yield "gateway", text + warning


def _undelivered(rows: Sequence[OutboxRow]) -> list[tuple[str, str]]:
    """Return the line about what could not be delivered; none if everything was."""
    if not rows:
        return []
    newest = rows[0]
    text = f"{count_text(len(rows), 'message')} in the last day; newest: chat {newest.chat_id}, {newest.failed}"
    return [("undelivered", text)]


def _off(name: str, problems: Sequence[str]) -> str:
    start = f"{name} is off: "
    reason = next((problem.removeprefix(start) for problem in problems if problem.startswith(start)), None)
    if reason:
        return f"off: {reason}"
    return f"off (microclaw config set {_SWITCH[name]})"


async def _deferred(host: Host) -> list[DeferredStatus]:
    """The deferred acts, and how the newest of the last day came out."""
    log = host.apps.deferrals.log
    since_ms = now_ms() - _DAY_MS
    names = {device.device_id: device.name for device in host.devices.list()}
    waiting = [one for one in await log.waiting() if one.device_id in names]
    ended = [one for one in await log.ended(limit=SHOWN) if (one.ended_ms or 0) > since_ms]
    return [
        DeferredStatus(
            one.text(names.get(one.device_id, one.device_id)), one.state, one.ended_ms or one.at_ms, one.outcome
        )
        for one in (*waiting, *ended)
    ]


async def _devices(host: Host) -> list[DeviceStatus]:
    checks = {one.device_id: one for one in host.apps.reconciler.status()}
    wanted: dict[str, list[str]] = {}
    for app in await host.apps.change_log.desired():
        wanted.setdefault(app.device_id, []).append(app.name)
    processes = host.boards.standing()
    shown = list[DeviceStatus]()
    for device in host.devices.list():
        check = checks.get(device.device_id)
        of_device = filled(
            DeviceStatus,
            device,
            board=device.board.board_id,
            transports=tuple(device.endpoints),
            apps=wanted.get(device.device_id, []),
            reachable=False if check and check.problem and check.unreachable_since_ms else device.reachable,
            problem=None if check is None else check.problem,
            process=processes.get(device.device_id),
        )
        shown.append(of_device)
        if len(shown) % AT_ONCE == 0:
            await asyncio.sleep(0)
    return shown


async def describe_model(model: Model) -> tuple[str, str | None]:
    """The model that answers, and what a person can do to change it."""
    if model.name != OFFLINE:
        out = next((outage for outage in outages_of(model) if outage.model == model.name), None)
        if out is None:
            return f"{model.name} answers", None
        if out.instead:
            who = f"{out.instead} answers instead of {out.model}"
        else:
            who = f"{out.model} does not answer"
        return f"{who} ({out.why}; {out.again})", None
    from microclaw.offline.sentences import english  # loaded after the host's start

    kinds = len((await asyncio.to_thread(english)).examples)
    return (
        f"none: no API key set. Offline intents answer ({kinds} kinds of sentence).",
        "any sentence: microclaw setup, or set ANTHROPIC_API_KEY or OPENAI_BASE_URL, then run again",
    )


def resident_mb() -> float:
    """This process's memory in RAM; where the system does not tell, the highest it ever was."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        return highest / (1 << 20)
    return highest / 1024
