"""The schedules of a host: makes, lists, pauses, resumes and removes them. It runs none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from microclaw.auth.gate import Permission
from microclaw.auth.people import MAY, Roles, may_see
from microclaw.clock import machine_zone
from microclaw.devices.registry import Registry
from microclaw.errors import Overloaded, PermissionRefused, ScheduleRefused, UnknownName
from microclaw.language.times import When
from microclaw.schedules.devices import with_current_names, with_device_ids
from microclaw.schedules.due import next_due, zone_of
from microclaw.schedules.parse import parse_when
from microclaw.store.schedules import MAX_WHY_CHARS, Prompt, Schedule, ScheduleTable, Timing
from microclaw.text import role_words

MAX_SCHEDULES: Final = 200
MAX_PROMPT_CHARS: Final = 4000
KEPT_OVER: Final = 20  # so many of the schedules that are over stay listed, the newest


@dataclass(eq=False)
class ScheduleBook:
    """`now_ms` is Unix time; `zone` is an IANA name, "" for the machine's. `changed` is called after each change.

    Schedules are stored with their devices' ids and returned with the devices' present names.
    """

    table: ScheduleTable
    roles: Roles
    now_ms: Callable[[], int]
    devices: Registry
    zone: str = ""
    changed: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.zone = zone_of(self.zone or machine_zone()).key

    def timing(self, when: str | When, zone: str | None = None) -> Timing:
        """The time that these words, or a time read from words, mean now. ScheduleRefused."""
        return parse_when(when, self.moment(self.now_ms(), zone))

    def moment(self, at_ms: int, zone: str | None = None) -> datetime:
        """A Unix time as the local time of a zone."""
        return datetime.fromtimestamp(at_ms / 1000, zone_of(zone or self.zone))

    async def check_room(self) -> None:
        """Overloaded when there are too many schedules for one more."""
        count = sum(one.state != "over" for one in await self.table.readable())
        if count >= MAX_SCHEDULES:
            raise Overloaded(f"there are {count} schedules already", next_step="remove one: microclaw schedule list")

    async def add(self, new: Schedule) -> Schedule:
        """Keep it, and give it its number and next time.

        ScheduleRefused for its time or words, UnknownName for its device, Overloaded for too many.
        """
        if not new.what.strip() or (isinstance(new.deed, Prompt) and len(new.deed.text) > MAX_PROMPT_CHARS):
            text = f"a schedule does something, in at most {MAX_PROMPT_CHARS} characters"
            raise ScheduleRefused(text, next_step='microclaw schedule add "every weekday at 7" "turn on pin 4"')
        await self.check_room()
        now_ms = self.now_ms()
        due_ms = next_due(new.timing, now_ms)
        if due_ms is None:
            raise ScheduleRefused(f"{new.said!r} is in the past", next_step='say a time that comes: "in 20 minutes"')
        kept = replace(with_device_ids(new, self.devices), next_ms=due_ms, created_ms=now_ms)
        schedule_id = await self.table.add(kept)
        over = [one.schedule_id for one in await self.table.readable() if one.state == "over"]
        for old in over[:-KEPT_OVER]:
            await self.table.remove(old)
        self.changed()
        return await self.get(schedule_id)

    async def all(self) -> tuple[Schedule, ...]:
        """Every schedule, oldest first, without those whose rows cannot be read."""
        return tuple([with_current_names(one, self.devices) for one in await self.table.readable()])

    async def visible(self, person_id: str) -> tuple[Schedule, ...]:
        """All schedules for an owner, else the person's own."""
        return tuple(one for one in await self.all() if may_see(self.roles, one.person_id, person_id))

    async def get(self, schedule_id: int) -> Schedule:
        row = await self.table.get(schedule_id)
        if row is None:
            raise _unknown(schedule_id)
        return with_current_names(row, self.devices)

    async def of(self, schedule_id: int, person_id: str) -> Schedule:
        """The schedule, if the person may change it; else PermissionRefused."""
        found = await self.get(schedule_id)
        if not may_see(self.roles, found.person_id, person_id):
            raise PermissionRefused(f"schedule {schedule_id} is somebody else's", next_step="ask the owner")
        return found

    async def remove(self, schedule_id: int, person_id: str) -> Schedule:
        found = await self.of(schedule_id, person_id)
        if not await self.table.remove(schedule_id):
            raise _unknown(schedule_id)  # another host was faster
        self.changed()
        return found

    async def hold(self, schedule_id: int, why: str) -> None:
        """Stop it until `resume`; the host's own pause, with its reason."""
        await self.table.set_state(schedule_id, "paused", why[:MAX_WHY_CHARS], None)
        self.changed()

    async def pause(self, schedule_id: int, person_id: str) -> Schedule:
        """Stop it until `resume`. A run under way goes on; a paused one keeps its reason. ScheduleRefused if over."""
        found = await self.of(schedule_id, person_id)
        if found.state == "paused":
            return found
        if found.state == "over":
            text = f"schedule {schedule_id} is over, so there is nothing to pause"
            raise ScheduleRefused(text, next_step=f"microclaw schedule rm {schedule_id}")
        person = self.roles.get(person_id)
        await self.hold(schedule_id, f"by {person.name if person is not None else person_id}")
        return await self.get(schedule_id)

    async def resume(self, schedule_id: int, person_id: str) -> Schedule:
        """Make a paused schedule due at its next time; missed times stay missed. ScheduleRefused if there is none."""
        found = await self.of(schedule_id, person_id)
        if found.state == "active":
            return found
        due_ms = next_due(found.timing, self.now_ms())
        if due_ms is None:
            raise ScheduleRefused(
                f"the time of schedule {schedule_id} went by", next_step=f"microclaw schedule run {schedule_id}"
            )
        await self.table.set_state(schedule_id, "active", "", due_ms)
        self.changed()
        return await self.get(schedule_id)

    def refusal(self, schedule: Schedule) -> str | None:
        """Why it may not run any more: its maker was removed, or may only read now. None when it may."""
        person = self.roles.get(schedule.person_id)
        if person is None:
            return "whoever made it is nobody this host knows"
        if Permission.ACT in MAY[person.role]:
            return None
        return f"{person.name} is {role_words(person.role)} now"


def _unknown(schedule_id: int) -> UnknownName:
    return UnknownName(f"there is no schedule {schedule_id}", next_step="see them: microclaw schedule list")
