"""When a schedule is due and what it does, as values and as the JSON of the store. Runs nothing, reads no clock.

A wall-clock time that summer time leaves out is due right after the gap, one that comes twice is due the first time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Literal, TypeAlias, assert_never
from zoneinfo import ZoneInfo

from microclaw.auth.gate import Permission
from microclaw.errors import ScheduleRefused, StoreError
from microclaw.store.schedules import Missed, ScheduleRow, ScheduleState
from microclaw.zone import find_zone

MIN_EVERY_MS: Final = 60_000
_MAX_SAME: Final = 400  # cron times that one gap of summer time may draw together


@dataclass(frozen=True, slots=True)
class Once:
    """Unix time in ms."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Every:
    """Each `every_ms` since `from_ms`, whatever clocks on the wall do; before it, where the clock was ahead then."""

    every_ms: int
    from_ms: int


@dataclass(frozen=True, slots=True)
class Cron:
    """Five fields of cron (cronsim) on the wall clock of an IANA time zone."""

    expression: str
    zone: str


Timing: TypeAlias = Once | Every | Cron


@dataclass(frozen=True, slots=True)
class ToolAct:
    """One call, worked out when the schedule was made: no model is asked. `arguments` is JSON text."""

    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Words for the agent."""

    text: str


Deed: TypeAlias = ToolAct | Prompt


@dataclass(frozen=True, slots=True)
class Schedule:
    """`said` is the time in words, `what` the deed. It is its maker's: `principal`, told in the chat it was made in.

    `devices` are the ids of those it is about and their names when it was made; None for one that was kept before ids
    were. `lost` is the name of one that is gone (schedules.devices).
    """

    schedule_id: int
    said: str
    what: str
    timing: Timing
    deed: Deed
    principal: str
    channel: str
    chat_id: str
    device: str | None
    missed: Missed
    approved: Permission
    state: ScheduleState
    why: str
    created_ms: int
    next_ms: int | None
    devices: tuple[tuple[str, str], ...] | None = None
    lost: str | None = None

    @property
    def zone(self) -> str | None:
        return self.timing.zone if isinstance(self.timing, Cron) else None


def next_due(timing: Timing, after_ms: int) -> int | None:
    """The first time after `after_ms`; None when there is none."""
    match timing:
        case Once(at_ms):
            return at_ms if at_ms > after_ms else None
        case Every(every_ms, from_ms):
            return from_ms + ((after_ms - from_ms) // every_ms + 1) * every_ms
        case Cron():
            return _next_cron(timing, after_ms)
    assert_never(timing)


def check_cron(expression: str, zone: str) -> Cron:
    """ScheduleRefused for fields that cron does not have, or that no day ever meets."""
    cron = Cron(" ".join(expression.split()), zone)
    if len(cron.expression.split(" ")) != 5 or next_due(cron, 0) is None:
        raise ScheduleRefused(f"{expression!r} is no time of cron", next_step='five fields, as in "30 7 * * 1-5"')
    return cron


def zone_of(name: str) -> ZoneInfo:
    """ScheduleRefused for a zone that is none."""
    if (zone := find_zone(name)) is None:
        raise ScheduleRefused(f"there is no time zone {name[:80]!r}", next_step="name one as in Europe/Berlin")
    return zone


def at_wall_clock(naive: datetime, zone: tzinfo) -> datetime:
    """A local time as a moment: in a gap of summer time its end, of two the first."""
    moment = naive.replace(tzinfo=zone, fold=0)
    while moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
        naive += timedelta(minutes=1)
        moment = naive.replace(tzinfo=zone, fold=0)
    return moment


def to_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def schedule_of(row: ScheduleRow) -> Schedule:
    """StoreError for a row that is none of ours."""
    try:
        act = json.loads(row.act)
        return Schedule(
            schedule_id=row.schedule_id,
            said=row.said,
            what=row.what,
            timing=_timing(json.loads(row.timing)),
            deed=_deed(act),
            principal=row.principal,
            channel=row.channel,
            chat_id=row.chat_id,
            device=row.device,
            missed=row.missed,
            approved=Permission(row.approved),
            state=row.state,
            why=row.why,
            created_ms=row.created_ms,
            next_ms=row.next_ms,
            devices=_devices(act),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise StoreError(
            f"schedule {row.schedule_id} cannot be read: {exc}", next_step=f"microclaw schedule rm {row.schedule_id}"
        ) from exc


def timing_json(timing: Timing) -> str:
    match timing:
        case Once(at_ms):
            return json.dumps({"kind": "once", "at_ms": at_ms})
        case Every(every_ms, from_ms):
            return json.dumps({"kind": "every", "every_ms": every_ms, "from_ms": from_ms})
        case Cron(expression, zone):
            return json.dumps({"kind": "cron", "expression": expression, "zone": zone})
    assert_never(timing)


def deed_json(deed: Deed, devices: Iterable[tuple[str, str]] | None = None) -> str:
    """`devices` as in Schedule."""
    kept = {} if devices is None else {"devices": dict(devices)}
    match deed:
        case ToolAct(tool, arguments):
            return json.dumps({"kind": "tool", "tool": tool, "arguments": arguments, **kept})
        case Prompt(text):
            return json.dumps({"kind": "prompt", "text": text, **kept})
    assert_never(deed)


def kind_of(timing: Timing) -> Literal["once", "every", "cron"]:
    match timing:
        case Once():
            return "once"
        case Every():
            return "every"
        case Cron():
            return "cron"
    assert_never(timing)


def _next_cron(cron: Cron, after_ms: int) -> int | None:
    from cronsim import CronSim, CronSimError

    after = datetime.fromtimestamp(after_ms // 1000, zone_of(cron.zone))
    try:
        times = CronSim(cron.expression, after)
        for _ in range(_MAX_SAME):  # near the end of summer time, cronsim starts from the hour's first pass
            due_ms = to_ms(next(times))
            if due_ms > after_ms:
                return due_ms
    except CronSimError as exc:
        raise ScheduleRefused(
            f"{cron.expression!r} is no time of cron{_bad_field(exc)}", next_step='five fields, as in "30 7 * * 1-5"'
        ) from exc
    except StopIteration:
        return None
    return None


def _bad_field(error: Exception) -> str:
    """Which field cronsim cannot read ("Bad day-of-week")."""
    found = re.fullmatch(r"Bad ([a-z-]+)", str(error))
    return f": its {found[1].replace('-', ' ')} is none" if found else ""


def _timing(value: Any) -> Timing:
    match value["kind"]:
        case "once":
            return Once(int(value["at_ms"]))
        case "every":
            return Every(max(1, int(value["every_ms"])), int(value["from_ms"]))
        case "cron":
            return Cron(str(value["expression"]), str(value["zone"]))
        case kind:
            raise ValueError(f"no such timing: {kind}")


def _deed(value: Any) -> Deed:
    match value["kind"]:
        case "tool":
            return ToolAct(str(value["tool"]), str(value["arguments"]))
        case "prompt":
            return Prompt(str(value["text"]))
        case kind:
            raise ValueError(f"no such deed: {kind}")


def _devices(value: Any) -> tuple[tuple[str, str], ...] | None:
    kept = value.get("devices")
    return None if kept is None else tuple((str(device_id), str(name)) for device_id, name in kept.items())
