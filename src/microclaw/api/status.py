"""The host's status, from what it already knows. It asks no device."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import convert
from msgspec.structs import replace

from microclaw import __version__
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
from microclaw.apps.deferred import DeferredLog
from microclaw.audit import alarm_text
from microclaw.clock import now_ms
from microclaw.link_server.device_facts import pending_pairings
from microclaw.models.fallback import Outage
from microclaw.models.protocol import Model
from microclaw.models.router import outages_of
from microclaw.operations.result import filled
from microclaw.store.crashes import CrashTable
from microclaw.telemetry.mqtt_text import mqtt_line
from microclaw.telemetry.operations import refused_values
from microclaw.text import count_text, format_duration, moment_text

if TYPE_CHECKING:
    from microclaw.api.parts import HostParts
    from microclaw.channels.telegram.poller import TelegramState
    from microclaw.link_server.server import LinkServer

_DAY_MS: Final = 86_400_000
SHOWN: Final = 5  # of the schedules that are due next, of the approvals, and of deferred acts that ended
OFFLINE: Final = "offline"
AT_ONCE: Final = 200  # devices that are told before the event loop does something else
_PAIR: Final = "microclaw device pair CODE"
_SWITCH: Final = {"telegram": "telegram.token", "the chat gateway": "gateway.enabled true"}


@dataclass(slots=True)
class ChannelStates:
    """`gateway` is its address, `clients` counts its connections, `gateway_open`: it asks nobody for a token,
    `gateway_token` is the file with the local one, None on a network.

    `problems` says why a configured channel is off.
    """

    telegram: TelegramState | None = None
    gateway: str | None = None
    clients: Callable[[], int] = lambda: 0
    problems: list[str] = field(default_factory=list)
    gateway_open: bool = False
    gateway_token: Path | None = None


async def read_status(parts: HostParts, is_owner: bool) -> Status:
    """The document of GET /v1/status."""
    (model, hint), at = await describe_model(parts.conversations.model), parts.plane
    made = Status(
        version=__version__,
        host=None if parts.settings.cluster.database is None else parts.settings.cluster.host_name,
        http=parts.http,
        https=HttpsFacts() if at is None else HttpsFacts(at.urls, at.local_url, at.fingerprint),
        link=None if parts.link is None else await _link(parts.link),
        xiaozhi=parts.voice.xiaozhi_object(),
        wyoming=parts.voice.wyoming_object(),
        up_s=round(time.monotonic() - parts.began_s, 1),
        rss_mb=round(resident_mb(), 1),
        model=model,
        model_hint=hint,
        deferred=await _deferred(parts),
        devices=await _devices(parts),
    )
    if is_owner:
        outages = outages_of(parts.conversations.model)
        made = replace(
            made,
            pid=os.getpid(),
            home=str(parts.settings.home),
            problems=problems_of(parts),
            alarms=await _alarms(parts),
            gateway_open=parts.channels.gateway is not None and parts.channels.gateway_open,
            failing=[one.text for one in parts.tasks.states() if one.phase == "failing"],
            mqtt=dict(parts.mqtt()),
            model_outages=[convert(one, ModelOutage, from_attributes=True) for one in outages],
        )
    of_owners = await _screen_of_owners(parts, made) if is_owner else []
    screen = [*_screen(parts, made), *of_owners, *await _events(parts, made)]
    return replace(made, screen=[StatusRow(about, text) for about, text in screen])


def _screen(parts: HostParts, made: Status) -> Iterator[tuple[str, str]]:
    pid = "" if made.pid is None else f" (pid {made.pid})"
    yield "host", f"running{pid}, up {made.up_s:.0f} s, {made.rss_mb:.0f} MB"
    yield "api", made.http or "only the control socket"
    link = made.link
    yield "link", "off: no device can connect here" if link is None else link.text
    for one in () if link is None else link.waiting:
        yield "pairing", f"{one.board} at {one.address} shows a code, good for {one.seconds_left} s: {_PAIR}"
    yield "model", made.model
    window = parts.conversations.context.window
    if (learned := window.learned) is not None:
        named = "" if learned.named_tokens is None else f" (the server named {learned.named_tokens:,})"
        again = format_duration(window.retry_in_s * 1000)
        text = f"{learned.tokens:,} tokens{named}; configured: {window.configured_tokens:,}, tried again in {again}"
        yield "context", f"learned from the server's refusal: {text}"
    if made.xiaozhi["ota"]:
        yield "xiaozhi", f"{made.xiaozhi['ota']}   {count_text(made.xiaozhi['connected'], 'device')} connected"
    if made.wyoming["address"]:
        yield "wyoming", made.wyoming["address"]


async def _screen_of_owners(parts: HostParts, made: Status) -> list[tuple[str, str]]:
    today, budget = (await parts.usage.report("day", 1)).today, parts.settings.budget
    outages = made.model_outages or ()
    rows = [("model", f"{one.reason}{f' - {one.next_step}' if one.next_step else ''}") for one in outages]
    if today.requests or budget.day_usd is not None or budget.day_tokens is not None:
        usd = "" if budget.day_usd is None else f" of ${budget.day_usd:.2f}"
        tokens = "" if budget.day_tokens is None else f" of {budget.day_tokens:,}"
        rows.append(("usage", f"today ${today.cost_usd:.2f}{usd}, {today.tokens:,}{tokens} tokens"))
    rows += _channels(parts)
    if made.mqtt and made.mqtt["state"] != "off":
        rows.append(("mqtt", mqtt_line(made.mqtt)))
    rows += [("mcp", f"{name}: {state}") for name, state in parts.mcp_servers().items()]
    rows += [("failing", text) for text in made.failing or ()]
    rows += [("off", text) for text in made.problems or () if text.partition(" is off: ")[0] not in _SWITCH]
    rows += [("alarm", f"{one.text}   {one.next_step}") for one in made.alarms or ()]
    if (backup := parts.backups.text()) is not None:
        rows.append(("backup", backup))
    code = parts.code.counts()
    if code["running"] or code["waiting"] or code["endings"]:
        text = f"{code['running']} running, {code['waiting']} waiting, {sum(code['endings'].values())} ended"
        rows.append(("code", f"{text}: microclaw task list"))
    for one in await parts.rollouts.rollouts.standing():
        step = f"next: microclaw firmware rollouts {one.rollout_id}"
        rows.append(("rollout", f"{one.rollout_id} of {one.version}: {one.state}, {one.text}; {step}"))
    schedules = await parts.schedules.scheduling.book.all()
    due = {one.schedule_id: one.next_ms for one in schedules if one.state == "active" and one.next_ms is not None}
    soon = sorted((one for one in schedules if one.schedule_id in due), key=lambda one: due[one.schedule_id])[:SHOWN]
    rows += [("schedule", f"{moment_text(one.next_ms or 0)}   {one.what} ({one.said})") for one in soon]
    if len(schedules) > len(soon):
        rows.append(("schedule", f"{len(schedules)} in all: microclaw schedule list"))
    pending, gate = parts.admission.approvals.pending(), parts.admission.gate
    rows += [("approval", f"{one.action} (asked by {gate.name_of(one.person_id)})") for one in pending[:SHOWN]]
    if pending:
        rows.append(("approval", f"{len(pending)} in all: microclaw approval list"))
    return rows


def _channels(parts: HostParts) -> Iterator[tuple[str, str]]:
    channels = parts.channels
    if (telegram := channels.telegram) is None:
        yield "telegram", _off("telegram", parts.settings.problems)
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


def _off(name: str, problems: Sequence[str]) -> str:
    start = f"{name} is off: "
    reason = next((problem.removeprefix(start) for problem in problems if problem.startswith(start)), None)
    return f"off: {reason}" if reason else f"off (microclaw config set {_SWITCH[name]})"


async def _events(parts: HostParts, made: Status) -> list[tuple[str, str]]:
    """What waits and what went wrong at devices."""
    rows = [("deferred", one.line) for one in made.deferred]
    crashes = await CrashTable(parts.database).groups(since_ms=now_ms() - _DAY_MS)
    if crashes:
        boards = count_text(len({device for one in crashes for device in one.devices}), "board")
        text = f"{count_text(len(crashes), 'kind')} of crash in the last day on {boards}"
        rows.append(("crash", f"{text}; next: microclaw logs --crashes"))
    return [*rows, *(("telemetry", f"{one.device}: {one.text}") for one in refused_values(parts.history))]


async def _deferred(parts: HostParts) -> list[DeferredStatus]:
    """The acts that wait for their devices, and how the newest of the last day came out."""
    log, since_ms = DeferredLog(parts.apps.change_log), now_ms() - _DAY_MS
    names = {device.device_id: device.name for device in parts.devices.list()}
    waiting = [one for one in await log.waiting() if one.device_id in names]
    ended = [one for one in await log.ended(limit=SHOWN) if (one.ended_ms or 0) > since_ms]
    return [
        DeferredStatus(
            one.text(names.get(one.device_id, one.device_id)), one.state, one.ended_ms or one.at_ms, one.outcome
        )
        for one in (*waiting, *ended)
    ]


async def _alarms(parts: HostParts) -> list[AlarmFacts]:
    alarms = []
    for alarm in parts.audit.alarms():
        device = parts.devices.owner_of(f"link:{alarm.event.about}")
        name = alarm.event.about or "a device" if device is None else device.name
        text, step = alarm_text(alarm, name)
        alarms.append(AlarmFacts(alarm.event.kind.value, name, alarm.at_ms, text, step))
    if (refusal := await parts.database.refusal()) is not None:
        alarms.append(AlarmFacts(refusal.code, "this host", now_ms(), refusal.message, refusal.next_step))
    return alarms


async def _link(server: LinkServer) -> LinkStatus:
    connected = sorted(link.name for link in server.links.online)
    return LinkStatus(address=server.address, connected=connected, waiting=await pending_pairings(server))


async def _devices(parts: HostParts) -> list[DeviceStatus]:
    checks = {one.device_id: one for one in parts.apps.reconciler.status()}
    wanted: dict[str, list[str]] = {}
    for app in await parts.apps.change_log.desired():
        wanted.setdefault(app.device_id, []).append(app.name)
    processes, shown = parts.boards.standing(), list[DeviceStatus]()
    for device in parts.devices.list():
        check, process = checks.get(device.device_id), processes.get(device.device_id)
        of_device = filled(
            DeviceStatus,
            device,
            board=device.board.board_id,
            transports=tuple(device.endpoints),
            apps=wanted.get(device.device_id, []),
            reachable=device.reachable if check is None else check.unreachable_since_ms is None,
            problem=None if check is None else check.problem,
            process=None if process is None else process.text,
        )
        shown.append(of_device)
        if len(shown) % AT_ONCE == 0:
            await asyncio.sleep(0)
    return shown


def problems_of(parts: HostParts) -> list[str]:
    """What is set and off, and why, a line each."""
    off = [f"{name} is off: {problem}" for name, problem in parts.voice.problems.items() if name != "voice"]
    more = [text for text in (parts.audit.problem, parts.egress.problem) if text is not None]
    return [*parts.settings.problems, *parts.channels.problems, *off, *more]


async def describe_model(model: Model) -> tuple[str, str | None]:
    """The model that answers, and what a person can do to change it."""
    if model.name != OFFLINE:
        out = next((outage for outage in outages_of(model) if outage.model == model.name), None)
        return (f"{model.name} answers" if out is None else outage_text(out)), None
    from microclaw.offline.dialogue import count_kinds  # loaded after the host's start

    kinds = await asyncio.to_thread(count_kinds)
    return (
        f"none: no API key set. Offline intents answer ({kinds} kinds of sentence).",
        "any sentence: microclaw setup, or set ANTHROPIC_API_KEY or OPENAI_BASE_URL, then run again",
    )


def outage_text(out: Outage) -> str:
    """Who answers instead of a model, why, and until when."""
    who = f"{out.instead} answers instead of {out.model}" if out.instead else f"{out.model} does not answer"
    return f"{who} ({out.why}; {out.again})"


def resident_mb() -> float:
    """This process's memory in RAM; where the system does not tell, the highest it ever was."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / (1 << 20) if sys.platform == "darwin" else highest / 1024
