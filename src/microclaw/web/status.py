"""What the host is doing, from what it knows already: no device is asked."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from microclaw import __version__
from microclaw.apps.keeper import Keeper, KeptDevice
from microclaw.apps.ledger import Ledger
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.faces.link.plane import DevicePlane
from microclaw.models.fallback import Outage, outages_of
from microclaw.models.offline import warm_up
from microclaw.models.protocol import Model
from microclaw.policy.person import OwnerAlone, Roles
from microclaw.web.standing import (
    PRIVATE,
    BoardProcess,
    Channels,
    Schedules,
    Spent,
    Waiting,
    approval_object,
    channel_objects,
    problem_lines,
    process_object,
    schedule_object,
    usage_object,
)
from microclaw.web.views import pairing_objects

OFFLINE = "offline"


class HostStatus:
    """`read` gives the document of GET /v1/status."""

    def __init__(
        self,
        *,
        settings: Settings,
        devices: Registry,
        ledger: Ledger,
        keeper: Keeper,
        model: Model,
        http: str | None,
        link: DevicePlane | None,
        channels: Channels | None = None,
        mcp_servers: Callable[[], Mapping[str, str]] = dict,
        schedules: Schedules | None = None,
        approvals: Waiting | None = None,
        people: Roles | None = None,
        usage: Spent | None = None,
        boards: Callable[[], Mapping[str, BoardProcess]] = dict,
    ) -> None:
        self._boards = boards
        self._channels = channels
        self._mcp_servers = mcp_servers
        self._schedules = schedules
        self._approvals = approvals
        self._people = people or OwnerAlone()
        self._usage = usage
        self._link = link
        self._settings = settings
        self._devices = devices
        self._ledger = ledger
        self._keeper = keeper
        self._model = model
        self._http = http
        self._began = time.monotonic()

    async def read(self) -> dict[str, Any]:
        kept = {device.device_id: device for device in self._keeper.status()}
        wanted: dict[str, list[str]] = {}
        for app in await self._ledger.desired():
            wanted.setdefault(app.device_id, []).append(app.name)
        processes = self._boards()
        text, hint = await describe_model(self._model)
        return {
            "version": __version__,
            "pid": os.getpid(),
            "home": str(self._settings.home),
            "http": self._http,
            "link": self._link_object(),
            "up_s": round(time.monotonic() - self._began, 1),
            "rss_mb": round(resident_mb(), 1),
            "model": text,
            "model_hint": hint,
            "model_outages": [outage_object(outage) for outage in outages_of(self._model)],
            "usage": await usage_object(self._usage, self._settings),
            "problems": problem_lines(self._channels, self._settings),
            "channels": channel_objects(self._channels, self._settings),
            "mcp_servers": dict(self._mcp_servers()),
            "schedules": await schedule_object(self._schedules),
            "approvals": approval_object(self._approvals, self._people),
            "devices": [
                {
                    "name": device.name,
                    "board": device.board.board_id,
                    "faces": list(device.face_ids),
                    "apps": wanted.get(device.device_id, []),
                    "reachable": _reachable(kept.get(device.device_id)),
                    "problem": kept[device.device_id].problem if device.device_id in kept else None,
                    "process": process_object(processes.get(device.device_id)),
                }
                for device in self._devices.list()
            ],
        }

    def _link_object(self) -> dict[str, Any] | None:
        if self._link is None:
            return None
        return {
            "address": self._link.address,
            "connected": sorted(self._link.hub.parts.name_of(link.link_id) for link in self._link.hub.online),
            "pairing": len(self._link.pending),
            "waiting": pairing_objects(self._link),
        }


def for_everybody(status: dict[str, Any]) -> dict[str, Any]:
    """The status without what only an owner sees."""
    return {name: value for name, value in status.items() if name not in PRIVATE}


async def describe_model(model: Model) -> tuple[str, str | None]:
    """Who answers, and what a person may do about it."""
    if model.name != OFFLINE:
        out = next((outage for outage in outages_of(model) if outage.model == model.name), None)
        return (f"{model.name} answers" if out is None else outage_text(out)), None
    kinds = await asyncio.to_thread(warm_up)
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


def _reachable(kept: KeptDevice | None) -> bool | None:
    """None while nobody has asked it yet."""
    return None if kept is None else kept.unreachable_since_ms is None
