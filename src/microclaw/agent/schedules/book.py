"""Creates, lists, pauses, resumes and removes the schedules of a host. Does not run them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.times import When
from microclaw.agent.schedules.devices import with_current_names, with_device_ids
from microclaw.agent.schedules.due import get_zone, next_due
from microclaw.agent.schedules.parse import Coordinates, parse_when
from microclaw.clock import machine_zone
from microclaw.devices.registry.registry import Registry
from microclaw.errors import Overloaded, PermissionRefused, ScheduleRefused, UnknownName
from microclaw.host.auth.people import PERMISSIONS_BY_ROLE, Roles, may_see
from microclaw.host.operations.operation import Permission
from microclaw.host.store.schedules import (
    MAX_WHY_CHARS,
    Action,
    Days,
    Every,
    Schedule,
    SchedulePrompt,
    ScheduleTable,
    Timing,
)
from microclaw.text import role_words

MAX_SCHEDULES: Final = 200
MAX_PROMPT_CHARS: Final = 4000
MAX_OVER: Final = 20  # schedules that are over stay listed, up to this number, the newest


@dataclass(eq=False)
class ScheduleBook:
    """The schedules of a host. They are stored with the ids of their devices and returned with their current names.

    `now_ms` returns Unix time. `zone` is an IANA name, or "" for the machine's zone. `place` is where the sun
    rises and sets. `changed` is called after each change.
    """

    table: ScheduleTable
    roles: Roles
    now_ms: Callable[[], int]
    devices: Registry
    zone: str = ""
    place: Coordinates | None = None
    changed: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.zone = get_zone(self.zone or machine_zone()).key

    def timing(self, when: str | When, zone: str | None = None) -> Timing:
        """Parse a time in words, relative to the current time. Raises ScheduleRefused."""
        return parse_when(when, self.moment(self.now_ms(), zone), self.place)

    def moment(self, at_ms: int, zone: str | None = None) -> datetime:
        """Convert Unix time in ms to a local time, in the host's zone by default."""
        return datetime.fromtimestamp(at_ms / 1000, get_zone(zone or self.zone))

    async def check_room(self) -> None:
        """Raise Overloaded if there are already MAX_SCHEDULES schedules that are not over."""
        schedules = await self.table.readable()
        count = sum(schedule.state != "over" for schedule in schedules)
        if count >= MAX_SCHEDULES:
            raise Overloaded(f"there are {count} schedules already", next_step="remove one: microclaw schedule list")

    async def check_new(self, new: Schedule) -> None:
        """Raise ScheduleRefused if the person has an equal schedule, which would only do the same once more."""
        for schedule in await self.all():
            if schedule.state != "over" and _is_equal(schedule, new):
                step = f"see it: microclaw schedule list {schedule.schedule_id}"
                if schedule.state == "paused":
                    step = f"it is paused: microclaw schedule resume {schedule.schedule_id}"
                text = f"schedule {schedule.schedule_id} does that already: {schedule.said}: {schedule.what}"
                raise ScheduleRefused(text, next_step=step)

    async def coinciding(self, new: Schedule) -> Schedule | None:
        """Return an active schedule of the person that does the same at one of the same times, or None."""
        for schedule in await self.all():
            is_same = _is_for_same(schedule, new) and _is_same_act(schedule.deed, new.deed)
            if schedule.state == "active" and is_same and _coincide(schedule, new):
                return schedule
        return None

    async def add(self, new: Schedule) -> Schedule:
        """Store a schedule and return it with its number and next time.

        Raises ScheduleRefused for an invalid time or text, UnknownName for its device, Overloaded for too many.
        """
        _check_text(new)
        await self.check_room()
        now_ms = self.now_ms()
        due_ms = next_due(new.timing, now_ms)
        if due_ms is None:
            raise ScheduleRefused(f"{new.said!r} is in the past", next_step='say a time that comes: "in 20 minutes"')
        schedule = replace(with_device_ids(new, self.devices), next_ms=due_ms, created_ms=now_ms)
        schedule_id = await self.table.add(schedule)
        await self._remove_oldest_over()
        self.changed()
        return await self.get(schedule_id)

    async def all(self) -> tuple[Schedule, ...]:
        """Return all schedules with readable rows, oldest first."""
        schedules = await self.table.readable()
        return tuple([with_current_names(schedule, self.devices) for schedule in schedules])

    async def visible(self, person_id: str) -> tuple[Schedule, ...]:
        """Return the schedules that a person may see: all for an owner, else their own."""
        schedules = await self.all()
        return tuple(schedule for schedule in schedules if may_see(self.roles, schedule.person_id, person_id))

    async def get(self, schedule_id: int) -> Schedule:
        """Return the schedule. Raises UnknownName."""
        schedule = await self.table.get(schedule_id)
        if schedule is None:
            raise _unknown(schedule_id)
        return with_current_names(schedule, self.devices)

    async def get_editable(self, schedule_id: int, person_id: str) -> Schedule:
        """Return the schedule. Raises PermissionRefused if the person may not change it."""
        schedule = await self.get(schedule_id)
        if not may_see(self.roles, schedule.person_id, person_id):
            raise PermissionRefused(f"schedule {schedule_id} belongs to another person", next_step="ask the owner")
        return schedule

    async def remove(self, schedule_id: int, person_id: str) -> Schedule:
        """Remove the schedule and return it. Raises UnknownName, PermissionRefused."""
        schedule = await self.get_editable(schedule_id, person_id)
        was_removed = await self.table.remove(schedule_id)
        if not was_removed:  # another host of the cluster removed it meanwhile
            raise _unknown(schedule_id)
        self.changed()
        return schedule

    async def pause_by_host(self, schedule_id: int, why: str) -> None:
        """Pause the schedule on the host's own decision, until `resume`."""
        await self.table.set_state(schedule_id, "paused", why[:MAX_WHY_CHARS], None)
        self.changed()

    async def pause(self, schedule_id: int, person_id: str) -> Schedule:
        """Pause the schedule until `resume`. A current run continues; a paused schedule keeps its first reason.

        Raises ScheduleRefused if the schedule is over.
        """
        schedule = await self.get_editable(schedule_id, person_id)
        if schedule.state == "paused":
            return schedule
        if schedule.state == "over":
            text = f"schedule {schedule_id} is over, so there is nothing to pause"
            raise ScheduleRefused(text, next_step=f"microclaw schedule rm {schedule_id}")
        person = self.roles.get(person_id)
        name = person_id if person is None else person.name
        await self.pause_by_host(schedule_id, f"by {name}")
        return await self.get(schedule_id)

    async def resume(self, schedule_id: int, person_id: str) -> Schedule:
        """Make a paused schedule due at its next time. Missed times are not made up for.

        Raises ScheduleRefused if there is no next time.
        """
        schedule = await self.get_editable(schedule_id, person_id)
        if schedule.state == "active":
            return schedule
        due_ms = next_due(schedule.timing, self.now_ms())
        if due_ms is None:
            text = f"the time of schedule {schedule_id} went by"
            raise ScheduleRefused(text, next_step=f"microclaw schedule run {schedule_id}")
        await self.table.set_state(schedule_id, "active", "", due_ms)
        self.changed()
        return await self.get(schedule_id)

    def refusal(self, schedule: Schedule) -> str | None:
        """Return why the schedule may not run any more (its creator was removed or may only read), or None."""
        person = self.roles.get(schedule.person_id)
        if person is None:
            return "this host does not know its creator"
        if Permission.ACT not in PERMISSIONS_BY_ROLE[person.role]:
            return f"{person.name} is {role_words(person.role)} now"
        return None

    async def _remove_oldest_over(self) -> None:
        schedules = await self.table.readable()
        over = [schedule.schedule_id for schedule in schedules if schedule.state == "over"]
        for schedule_id in over[:-MAX_OVER]:
            await self.table.remove(schedule_id)


def _check_text(schedule: Schedule) -> None:
    """Raise ScheduleRefused if the schedule does nothing or its prompt is too long."""
    action = schedule.deed
    is_too_long = isinstance(action, SchedulePrompt) and len(action.text) > MAX_PROMPT_CHARS
    if is_too_long or not schedule.what.strip():
        text = f"a schedule does something, in at most {MAX_PROMPT_CHARS} characters"
        raise ScheduleRefused(text, next_step='microclaw schedule add "every weekday at 7" "turn on pin 4"')


def _is_equal(schedule: Schedule, new: Schedule) -> bool:
    """Return True if both do the same for the same person at the same times; `said` may differ."""
    is_same_act = _is_for_same(schedule, new) and _is_same_act(schedule.deed, new.deed)
    return is_same_act and _is_same_timing(schedule.timing, new.timing)


def _is_for_same(schedule: Schedule, new: Schedule) -> bool:
    return schedule.person_id == new.person_id and schedule.device == new.device


def _coincide(schedule: Schedule, other: Schedule) -> bool:
    """Return True if one of them is due at the next time of the other."""
    if schedule.next_ms is None or other.next_ms is None:
        return False
    is_due_with_other = next_due(schedule.timing, other.next_ms - 1) == other.next_ms
    return is_due_with_other or next_due(other.timing, schedule.next_ms - 1) == schedule.next_ms


def _is_same_act(action: Action, other: Action) -> bool:
    if isinstance(action, SchedulePrompt) and isinstance(other, SchedulePrompt):
        return action.text == other.text
    return action == other


def _is_same_timing(timing: Timing, other: Timing) -> bool:
    # An interval counts from the moment at which it was said, which is another one each time.
    if isinstance(timing, Every) and isinstance(other, Every):
        return timing.every_ms == other.every_ms
    if isinstance(timing, Days) and isinstance(other, Days) and timing.every == other.every == 1:
        return replace(timing, first=other.first) == other
    return timing == other


def _unknown(schedule_id: int) -> UnknownName:
    return UnknownName(f"there is no schedule {schedule_id}", next_step="see them: microclaw schedule list")
