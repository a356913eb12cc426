"""When a schedule is due and what it does, as values and as JSON in the store. Runs nothing, reads no clock.

A local time that summer time skips is due right after the gap; one that comes twice is due the first time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Annotated, Final, Literal, TypeAlias, assert_never, cast
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct, ValidationError, convert, to_builtins

from microclaw.auth.gate import Permission
from microclaw.clock import find_zone
from microclaw.errors import ScheduleRefused, StoreError
from microclaw.store.schedules import Missed, ScheduleRow, ScheduleState

MIN_EVERY_MS: Final = 60_000
_MAX_SAME: Final = 400  # cron times that may come together at one gap of summer time


class _Stored(Struct, frozen=True, tag_field="kind"):
    """A value that is stored as JSON, with its kind as the tag."""


class Once(_Stored, frozen=True, tag="once"):
    """Unix time in ms."""

    at_ms: int


class Every(_Stored, frozen=True, tag="every"):
    """Every `every_ms` counted from `from_ms`, in real time; also before it, if the clock was ahead then."""

    every_ms: Annotated[int, Meta(ge=1)]
    from_ms: int


class Cron(_Stored, frozen=True, tag="cron"):
    """Five fields of cron (cronsim) in the local time of an IANA zone."""

    expression: str
    zone: str


Timing: TypeAlias = Once | Every | Cron


class ToolAct(_Stored, frozen=True, tag="tool"):
    """One call of a tool, which needs no model. `arguments` is JSON text."""

    tool: str
    arguments: str


class Prompt(_Stored, frozen=True, tag="prompt"):
    """Words for the agent."""

    text: str


Deed: TypeAlias = ToolAct | Prompt


class Schedule(Struct, frozen=True):
    """`said` is the time in words, `what` the action in words. `person_id` made it; results go to the chat of then.

    `devices` are the ids of its devices with their names when it was made.
    `lost` is the name of a device that is gone (schedules/devices.py).
    """

    schedule_id: int
    said: str
    what: str
    timing: Timing
    deed: Deed
    person_id: str
    channel: str
    chat_id: str
    device: str | None
    missed: Missed
    approved: Permission
    state: ScheduleState
    why: str
    created_ms: int
    next_ms: int | None
    devices: tuple[tuple[str, str], ...] = ()
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
    """Check five fields of cron. ScheduleRefused when they are wrong or match no day."""
    cron = Cron(" ".join(expression.split()), zone)
    if len(cron.expression.split(" ")) != 5 or next_due(cron, 0) is None:
        raise ScheduleRefused(f"{expression!r} is not a time of cron", next_step='five fields, as in "30 7 * * 1-5"')
    return cron


def zone_of(name: str) -> ZoneInfo:
    """The zone of this name. ScheduleRefused when there is none."""
    if (zone := find_zone(name)) is None:
        raise ScheduleRefused(f"there is no time zone {name[:80]!r}", next_step="name one as in Europe/Berlin")
    return zone


def at_wall_clock(naive: datetime, zone: tzinfo) -> datetime:
    """A local time in a zone: in a gap of summer time the end of the gap, of two the first."""
    moment = naive.replace(tzinfo=zone, fold=0)
    while moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
        naive += timedelta(minutes=1)
        moment = naive.replace(tzinfo=zone, fold=0)
    return moment


def to_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def schedule_of(row: ScheduleRow) -> Schedule:
    """Read a row. StoreError when it is not a schedule of ours."""
    try:
        told = asdict(row)
        act = json.loads(told.pop("act"))
        told |= {"timing": convert(json.loads(row.timing), Timing), "approved": Permission(row.approved)}
        deed = convert(act, Deed)
        return Schedule(**told, deed=deed, devices=tuple(convert(act.get("devices", {}), dict[str, str]).items()))
    except (ValueError, ValidationError) as exc:
        raise StoreError(
            f"schedule {row.schedule_id} cannot be read: {exc}", next_step=f"microclaw schedule rm {row.schedule_id}"
        ) from exc


def stored_json(value: Timing | Deed, devices: Iterable[tuple[str, str]] | None = None) -> str:
    """The JSON of a timing, or of an action with `devices` as in Schedule."""
    return json.dumps(to_builtins(value) | ({} if devices is None else {"devices": dict(devices)}))


def kind_of(timing: Timing) -> Literal["once", "every", "cron"]:
    return cast(Literal["once", "every", "cron"], timing.__struct_config__.tag)


def _next_cron(cron: Cron, after_ms: int) -> int | None:
    from cronsim import CronSim, CronSimError

    after = datetime.fromtimestamp(after_ms // 1000, zone_of(cron.zone))
    try:
        # Near the end of summer time, cronsim starts from the hour's first pass.
        times = map(to_ms, islice(CronSim(cron.expression, after), _MAX_SAME))
        return next((due_ms for due_ms in times if due_ms > after_ms), None)
    except CronSimError as exc:
        text = f"{cron.expression!r} is not a time of cron: {str(exc).removeprefix('Bad ')}"
        raise ScheduleRefused(text, next_step='five fields, as in "30 7 * * 1-5"') from exc
