"""The times at which a schedule is due. Runs nothing, reads no clock.

A local time that summer time skips is due right after the gap; one that comes twice is due the first time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from microclaw.clock import find_zone
from microclaw.errors import ScheduleRefused
from microclaw.store.schedules import Cron, Every, Once, Timing

MIN_EVERY_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
_MAX_SAME: Final = 400  # cron times that may come together at one gap of summer time


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


def is_due_more_often(timing: Timing, limit: int, first_ms: int | None) -> bool:
    """True if it is due more than `limit` times in the hour that begins with its first time."""
    due_ms = first_ms
    for _ in range(limit):
        if due_ms is None:
            due_ms = None
        else:
            due_ms = next_due(timing, due_ms)
    return first_ms is not None and due_ms is not None and due_ms < first_ms + HOUR_MS


def check_cron(expression: str, zone: str) -> Cron:
    """Check five fields of cron. ScheduleRefused when they are wrong or match no day."""
    cron = Cron(" ".join(expression.split()), zone)
    if len(cron.expression.split(" ")) != 5 or next_due(cron, 0) is None:
        raise ScheduleRefused(f"{expression!r} is not a time of cron", next_step='five fields, as in "30 7 * * 1-5"')
    return cron


def zone_of(name: str) -> ZoneInfo:
    """The zone of this name. ScheduleRefused when there is none."""
    zone = find_zone(name)
    if zone is None:
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
