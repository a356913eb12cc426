"""The schedules of a host: made, listed, paused, taken up again, removed. It runs none of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from microclaw.auth.gate import Permission
from microclaw.auth.people import MAY, Roles
from microclaw.clock import machine_zone
from microclaw.errors import Overloaded, PermissionRefused, ScheduleRefused, StoreError, UnknownName
from microclaw.language.times import When, when_text
from microclaw.schedules.devices import Devices, all_known, pinned, present
from microclaw.schedules.entry import (
    Deed,
    Once,
    Prompt,
    Schedule,
    Timing,
    deed_json,
    next_due,
    schedule_of,
    timing_json,
    zone_of,
)
from microclaw.schedules.parse import parse_when, timing_of
from microclaw.store.schedules import Missed, NewSchedule, RunRow, ScheduleTable

MAX_SCHEDULES: Final = 200
MAX_PROMPT_CHARS: Final = 4000
KEPT_OVER: Final = 20  # schedules that are over stay listed, the newest
_MAX_NUMBER: Final = 2**63  # of SQLite's integers
_HOUR_MS: Final = 3_600_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A schedule to be made. `zone` None is the person's; `missed` None is "run" for one time, else "skip"."""

    when: str
    what: str
    deed: Deed
    person_id: str
    channel: str = "terminal"
    chat_id: str = "terminal"
    device: str | None = None
    zone: str | None = None
    missed: Missed | None = None
    approved: Permission = Permission.ACT


class ScheduleBook:
    """`now_ms` is Unix time; `zone` an IANA name, None for the machine's. `changed` hears that another may be due.

    Schedules are kept with their devices' ids and given out with the names that these have at that moment.
    """

    def __init__(
        self,
        table: ScheduleTable,
        roles: Roles,
        now_ms: Callable[[], int],
        *,
        devices: Devices,
        zone: str | None = None,
    ) -> None:
        self.zone = zone_of(zone or machine_zone()).key
        self._table = table
        self._roles = roles
        self._now_ms = now_ms
        self._devices = devices
        self.changed: Callable[[], None] = _nobody

    def timing(self, when: str | When, zone: str | None = None) -> Timing:
        """What these words, or a time read from words, mean now. ScheduleRefused."""
        now = self.moment(self._now_ms(), zone)
        return parse_when(when, now) if isinstance(when, str) else timing_of(when, now, when_text(when))

    def now_ms(self) -> int:
        """Unix time."""
        return self._now_ms()

    def moment(self, at_ms: int, zone: str | None = None) -> datetime:
        """Unix time on a clock of the zone."""
        return datetime.fromtimestamp(at_ms / 1000, zone_of(zone or self.zone))

    async def add(self, wanted: Wanted, *, timing: Timing | None = None) -> Schedule:
        """Make it. ScheduleRefused for its time or words, UnknownName for its device, Overloaded for too many.

        `timing` is for those that were made elsewhere, instead of the words.
        """
        if not wanted.what.strip() or (isinstance(wanted.deed, Prompt) and len(wanted.deed.text) > MAX_PROMPT_CHARS):
            raise ScheduleRefused(
                f"a schedule does something, in at most {MAX_PROMPT_CHARS} characters",
                next_step='microclaw schedule add "every weekday at 7" "turn on pin 4"',
            )
        listed = [one for one in await self._table.list() if one.state != "over"]
        if len(listed) >= MAX_SCHEDULES:
            raise Overloaded(
                f"there are {len(listed)} schedules already", next_step="remove one: microclaw schedule list"
            )
        timing = timing or self.timing(wanted.when, wanted.zone)
        now_ms = self._now_ms()
        due_ms = next_due(timing, now_ms)
        if due_ms is None:
            raise ScheduleRefused(f"{wanted.when!r} is in the past", next_step='say a time that comes: "in 20 minutes"')
        pin = pinned(wanted.what, wanted.deed, wanted.device, self._devices)
        missed: Missed = wanted.missed or ("run" if isinstance(timing, Once) else "skip")
        new = NewSchedule(
            said=wanted.when,
            what=pin.what,
            timing=timing_json(timing),
            act=deed_json(pin.deed, pin.devices),
            person_id=wanted.person_id,
            channel=wanted.channel,
            chat_id=wanted.chat_id,
            device=pin.device,
            missed=missed,
            approved=wanted.approved.value,
            next_ms=due_ms,
        )
        schedule_id = await self._table.add(new, now_ms)
        await self._forget_old()
        self.changed()
        return await self.get(schedule_id)

    async def all(self) -> tuple[Schedule, ...]:
        """Every schedule, oldest first; one whose row cannot be read is told in the log and left out."""
        return tuple([present(one, self._devices) for one in await self._kept()])

    async def visible(self, person_id: str) -> tuple[Schedule, ...]:
        """Everybody's for an owner, else one's own."""
        return tuple(one for one in await self.all() if self._is_of(one, person_id))

    async def get(self, schedule_id: int) -> Schedule:
        row = await self._table.get(schedule_id) if 0 < schedule_id < _MAX_NUMBER else None
        if row is None:
            raise UnknownName(
                f"there is no schedule {str(schedule_id)[:20]}", next_step="see them: microclaw schedule list"
            )
        return present(schedule_of(row), self._devices)

    async def made_of(self, said: str, prompt: Prompt) -> Schedule | None:
        """The one that was made of these words, however its devices are called now."""
        for one in await self._kept():
            if (one.said, one.deed) == (said, prompt):
                return present(one, self._devices)
        return None

    def check_device(self, reference: str) -> None:
        """UnknownName for a device that is none."""
        self._devices.get(reference)

    async def of(self, schedule_id: int, person_id: str) -> Schedule:
        """The schedule, if it is theirs; PermissionRefused."""
        found = await self.get(schedule_id)
        if not self._is_of(found, person_id):
            raise PermissionRefused(f"schedule {schedule_id} is somebody else's", next_step="ask the owner")
        return found

    async def runs(self, schedule_id: int, newest: int = 10) -> tuple[RunRow, ...]:
        """Latest first."""
        return await self._table.runs(schedule_id, newest)

    async def remove(self, schedule_id: int, person_id: str) -> Schedule:
        found = await self.of(schedule_id, person_id)
        await self._table.remove(schedule_id)
        self.changed()
        return found

    async def pause(self, schedule_id: int, why: str) -> None:
        """It stays, and is not due until `resume`."""
        await self._table.set_state(schedule_id, "paused", why, None)
        self.changed()

    async def resume(self, schedule_id: int, person_id: str) -> Schedule:
        """Make a paused one due again. ScheduleRefused when its only time went by."""
        found = await self.of(schedule_id, person_id)
        if found.state == "active":
            return found
        due_ms = next_due(found.timing, self._now_ms())
        if due_ms is None:
            raise ScheduleRefused(
                f"the time of schedule {schedule_id} went by", next_step=f"microclaw schedule run {schedule_id}"
            )
        await self._table.set_state(schedule_id, "active", "", due_ms)
        self.changed()
        return await self.get(schedule_id)

    async def adopt(self) -> None:
        """Give the schedules that were kept by their devices' names the ids of those that have these names now."""
        for old in await self._kept():
            if old.devices is None and all_known(old, self._devices):
                pin = pinned(old.what, old.deed, old.device, self._devices)
                act = deed_json(pin.deed, pin.devices)
                await self._table.set_deed(old.schedule_id, what=pin.what, act=act, device=pin.device)

    def wakes_an_hour(self, timing: Timing, limit: int) -> int:
        """How often it is due in the hour after its first time; counted up to `limit` + 1."""
        first = next_due(timing, self._now_ms())
        due, count = first, 0
        while due is not None and first is not None and due < first + _HOUR_MS and count <= limit:
            count, due = count + 1, next_due(timing, due)
        return count

    def refusal(self, schedule: Schedule) -> str | None:
        """Why it may not run any more: whoever made it was removed, or may only read now."""
        person = self._roles.get(schedule.person_id)
        if person is None:
            return "whoever made it is nobody this host knows"
        return None if Permission.ACT in MAY[person.role] else f"{person.name} is a {person.role} now"

    def _is_of(self, schedule: Schedule, person_id: str) -> bool:
        person = self._roles.get(person_id)
        return schedule.person_id == person_id or (person is not None and person.role == "owner")

    async def _kept(self) -> list[Schedule]:
        """As they are stored, with ids; one whose row cannot be read is told in the log and left out."""
        found = []
        for row in await self._table.list():
            try:
                found.append(schedule_of(row))
            except StoreError as exc:
                _log.warning("%s", exc.message)
        return found

    async def _forget_old(self) -> None:
        over = [row.schedule_id for row in await self._table.list() if row.state == "over"]
        for schedule_id in over[:-KEPT_OVER]:
            await self._table.remove(schedule_id)


def _nobody() -> None:
    """Nobody waits for what is due yet."""
