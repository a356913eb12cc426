"""The host's status, from what it already knows. It asks no device."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import to_builtins

from microclaw import __version__
from microclaw.agent.window import Window
from microclaw.api.telemetry_routes import crashes_of_a_day, telemetry_refusals
from microclaw.apps.deferred import DeferredAct, DeferredLog
from microclaw.apps.reconciler import DeviceCheck
from microclaw.audit import RecordedEvent, alarm_text
from microclaw.auth.approvals import PendingApproval
from microclaw.auth.people import Roles
from microclaw.config.settings import BudgetSettings, Settings
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.link_server.device_facts import pending_pairings
from microclaw.link_server.server import LinkServer
from microclaw.models.fallback import Outage
from microclaw.models.protocol import Model
from microclaw.models.router import outages_of
from microclaw.schedules.entry import Schedule
from microclaw.store.crashes import CrashTable
from microclaw.store.usage import UsageCount
from microclaw.text import format_duration
from microclaw.virtual_boards.host_boards import BoardStanding

if TYPE_CHECKING:
    from microclaw.api.parts import HostParts
    from microclaw.channels.telegram.poller import TelegramState

_DAY_MS: Final = 86_400_000
SHOWN: Final = 5  # of the schedules that are due next, and of the approvals
PRIVATE: Final = (
    "pid", "home", "problems", "alarms", "channels", "mcp_servers", "tasks", "schedules", "approvals", "usage",
    "model_outages", "mqtt", "backup", "rollouts", "code",
)  # fmt: skip
"""Fields of the status for owners only: they are about this machine and other people's chats."""


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


def channel_objects(channels: ChannelStates, settings: Settings) -> list[dict[str, Any]]:
    """Each channel with its state: `on`, `disturbed`, `connecting`, `off` (not wanted, or `text` says why)."""
    found: list[dict[str, Any]] = []
    telegram = channels.telegram
    if telegram is not None:
        state = {"listening": "on"}.get(telegram.phase, telegram.phase)
        name = f"@{telegram.bot.removeprefix('@')}" if telegram.bot else None
        found.append({"name": "telegram", "state": state, "text": telegram.reason or name, "bot": name})
    else:
        found.append(_off("telegram", settings.problems))
    if channels.gateway is not None:
        door = {"open": channels.gateway_open, "token_file": channels.gateway_token and str(channels.gateway_token)}
        found.append(
            {"name": "gateway", "state": "on", "text": channels.gateway, "clients": channels.clients(), **door}
        )
    else:
        found.append(_off("the chat gateway", channels.problems))
    return found


def _off(name: str, problems: Sequence[str]) -> dict[str, Any]:
    start = f"{name} is off: "
    reason = next((problem.removeprefix(start) for problem in problems if problem.startswith(start)), None)
    return {"name": name.split()[-1], "state": "off", "text": reason}


def schedule_object(entries: Sequence[Schedule]) -> dict[str, Any]:
    """The number of schedules, and the next ones that are due."""
    active = sorted(
        ((entry.next_ms, entry) for entry in entries if entry.state == "active" and entry.next_ms is not None),
        key=lambda due: due[0],
    )
    return {
        "active": len(active),
        "paused": sum(entry.state == "paused" for entry in entries),
        "next": [
            {"id": entry.schedule_id, "said": entry.said, "what": entry.what, "next_ms": next_ms}
            for next_ms, entry in active[:SHOWN]
        ],
    }


def approval_object(pending: Sequence[PendingApproval], people: Roles) -> dict[str, Any]:
    names = {p.person_id: person.name for p in pending[:SHOWN] if (person := people.get(p.person_id)) is not None}
    return {
        "pending": len(pending),
        "first": [
            {"approval_id": p.approval_id, "action": p.action, "asked_by": names.get(p.person_id, p.person_id)}
            for p in pending[:SHOWN]
        ],
    }


def process_object(board: BoardStanding | None) -> dict[str, Any] | None:
    """The state of a virtual board's process; None for other devices."""
    if board is None:
        return None
    failed = board.state == "failed"
    return {
        "state": board.state,
        "restarts": board.restarts,
        "last_ms": board.last_ms,
        "reason": board.reason,
        "next": "look into the host's log, then start the host again" if failed else None,
    }


def usage_object(today: UsageCount, budget: BudgetSettings) -> dict[str, Any]:
    """What models cost today, and what they may."""
    return {
        "requests": today.requests,
        "tokens": today.tokens,
        "cost_usd": round(today.cost_usd, 6),
        "day_usd": budget.day_usd,
        "day_tokens": budget.day_tokens,
    }


def context_object(window: Window) -> dict[str, Any]:
    """The tokens that a request to the model may have; `text` says so where a server's refusal made them fewer."""
    learned, text = window.learned, None
    if learned is not None:
        named = "" if learned.named_tokens is None else f" (the server named {learned.named_tokens:,})"
        text = (
            f"learned from the server's refusal: {learned.tokens:,} tokens{named}; "
            f"configured: {window.configured_tokens:,}, tried again in {format_duration(window.retry_in_s * 1000)}"
        )
    return {
        "tokens": window.tokens,
        "configured_tokens": window.configured_tokens,
        "named_tokens": None if learned is None else learned.named_tokens,
        "retry_in_s": round(window.retry_in_s, 1),
        "text": text,
    }


def deferred_acts_object(
    waiting: Sequence[DeferredAct], ended: Sequence[DeferredAct], devices: Registry, now_ms: int
) -> dict[str, Any]:
    """The acts that wait for their devices, and how the newest of the last day came out."""
    names = {device.device_id: device.name for device in devices.list()}
    return {
        "waiting": [
            {"text": act.text(names[act.device_id]), "since_ms": act.at_ms} for act in waiting if act.device_id in names
        ],
        "ended": [
            {
                "text": act.text(names.get(act.device_id, act.device_id)),
                "state": act.state,
                "outcome": act.outcome,
                "ended_ms": act.ended_ms,
            }
            for act in ended
            if act.ended_ms is not None and now_ms - act.ended_ms < _DAY_MS
        ],
    }


def alarm_object(alarm: RecordedEvent, devices: Registry) -> dict[str, Any]:
    """What a person should look at, and what to do about it."""
    device = devices.owner_of(f"link:{alarm.event.about}")
    name = alarm.event.about or "a device" if device is None else device.name
    text, hint = alarm_text(alarm, name)
    return {"kind": alarm.event.kind.value, "device": name, "at_ms": alarm.at_ms, "text": text, "next": hint}


OFFLINE = "offline"
AT_ONCE = 200  # devices that are told before the event loop does something else


async def read_status(parts: HostParts) -> dict[str, Any]:
    """The document of GET /v1/status."""
    change_log, devices, plane, voice = parts.apps.change_log, parts.devices, parts.plane, parts.voice
    kept = {device.device_id: device for device in parts.apps.reconciler.status()}
    wanted: dict[str, list[str]] = {}
    for app in await change_log.desired():
        wanted.setdefault(app.device_id, []).append(app.name)
    processes = parts.boards.standing()
    deferred = DeferredLog(change_log)
    text, hint = await describe_model(parts.conversations.model)
    alarms = [alarm_object(alarm, devices) for alarm in parts.audit.alarms()]
    if (refusal := await parts.database.refusal()) is not None:
        fields = {"kind": refusal.code, "text": refusal.message, "next": refusal.next_step}
        alarms.append({"device": "this host", "at_ms": change_log.now_ms(), **fields})
    shown: list[dict[str, Any]] = []
    for count, device in enumerate(devices.list(), 1):
        check, process = kept.get(device.device_id), processes.get(device.device_id)
        shown.append(_device_object(device, check, wanted.get(device.device_id, []), process))
        if count % AT_ONCE == 0:
            await asyncio.sleep(0)
    return {
        "version": __version__,
        "host": None if parts.settings.cluster.database is None else parts.settings.cluster.host_name,
        "pid": os.getpid(),
        "home": str(parts.settings.home),
        "http": parts.http,
        "https": {
            "urls": [] if plane is None else list(plane.urls),
            "local": None if plane is None else plane.local_url,
            "ca_sha256": None if plane is None else plane.fingerprint,
        },
        "link": await _link_object(parts.link),
        "xiaozhi": voice.xiaozhi_object(),
        "wyoming": voice.wyoming_object(),
        "mqtt": dict(parts.mqtt()),
        "up_s": round(time.monotonic() - parts.began_s, 1),
        "rss_mb": round(resident_mb(), 1),
        "model": text,
        "model_hint": hint,
        "model_outages": [outage_object(outage) for outage in outages_of(parts.conversations.model)],
        "context": context_object(parts.conversations.context.window),
        "usage": usage_object((await parts.usage.report("day", 1)).today, parts.settings.budget),
        "problems": problems_of(parts),
        "alarms": alarms,
        "channels": channel_objects(parts.channels, parts.settings),
        "mcp_servers": dict(parts.mcp_servers()),
        "code": dict(parts.code.counts()),
        "tasks": [asdict(state) for state in parts.tasks.states()],
        "schedules": schedule_object(await parts.schedules.scheduling.book.all()),
        "backup": parts.backups.object(),
        "rollouts": [
            {"rollout": one.rollout_id, "version": one.version, "state": one.state, "text": one.text}
            for one in await parts.rollouts.rollouts.standing()
        ],
        "approvals": approval_object(parts.admission.approvals.pending(), parts.admission.people),
        "deferred": deferred_acts_object(
            await deferred.waiting(), await deferred.ended(limit=SHOWN), devices, change_log.now_ms()
        ),
        "crashes": crashes_of_a_day(await CrashTable(parts.database).groups(since_ms=change_log.now_ms() - _DAY_MS)),
        "telemetry": telemetry_refusals(parts.history, devices),
        "devices": shown,
    }


def problems_of(parts: HostParts) -> list[str]:
    """What is set and off, and why, a line each."""
    off = [f"{name} is off: {problem}" for name, problem in parts.voice.problems.items() if name != "voice"]
    more = [text for text in (parts.audit.problem, parts.egress.problem) if text is not None]
    return [*parts.settings.problems, *parts.channels.problems, *off, *more]


async def _link_object(server: LinkServer | None) -> dict[str, Any] | None:
    if server is None:
        return None
    waiting = to_builtins(await pending_pairings(server))
    return {
        "address": server.address,
        "connected": sorted(link.name for link in server.links.online),
        "pairing": len(waiting),
        "waiting": waiting,
    }


def for_everybody(status: dict[str, Any]) -> dict[str, Any]:
    """The status without what only an owner sees."""
    return {name: value for name, value in status.items() if name not in PRIVATE}


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


def outage_object(out: Outage) -> dict[str, Any]:
    return {
        "model": out.model,
        "instead": out.instead,
        "fault": out.fault,
        "reason": out.reason,
        "next": out.next_step,
        "retry_in_s": round(out.retry_in_s, 1),
        "text": outage_text(out),
    }


def resident_mb() -> float:
    """This process's memory in RAM; where the system does not tell, the highest it ever was."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    import resource

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / (1 << 20) if sys.platform == "darwin" else highest / 1024


def _device_object(
    device: Device, check: DeviceCheck | None, apps: list[str], process: BoardStanding | None
) -> dict[str, Any]:
    return {
        "name": device.name,
        "board": device.board.board_id,
        "transports": list(device.endpoints),
        "apps": apps,
        "reachable": _reachable(device, check),
        "never_reached": device.never_reached,
        "problem": None if check is None else check.problem,
        "process": process_object(process),
    }


def _reachable(device: Device, kept: DeviceCheck | None) -> bool | None:
    """None before the model was used."""
    return device.reachable if kept is None else kept.unreachable_since_ms is None
