"""Events of a real link become readings and crashes: each once, whatever dies in between; a crash's name and kind."""

from __future__ import annotations

import asyncio

import pytest
from tests.devices.link.conftest import Plane, ScriptedDevice
from tests.devices.telemetry.conftest import Sources

from microclaw.devices.telemetry.history import TelemetryHistory
from microclaw.devices.telemetry.reported import (
    MAX_TITLE_CHARS,
    Crash,
    ReportedEvents,
    clean_trace,
    crash_of,
    fingerprint,
    title_of,
)
from microclaw.events import Crashed, DeviceEvent, DeviceLog
from microclaw.host.store.crashes import MAX_GROUPS_FOUND_ON, CrashReport, CrashTable, StoredCrash, insert_crash
from microclaw.host.store.telemetry import HOUR_MS
from microclaw.wire.link.messages import Event, Log
from microclaw.wire.link.values import ValueMap

TRACE = """Traceback (most recent call last):
  File "blink.py", line 4, in <module>
  File "blink.py", line 12, in measure
ValueError: 17 is over 16"""


def kind(trace: str, program: str = "blink", version: str | None = "abc") -> str:
    crash = Crash("program", program, trace)
    return fingerprint(crash, version, title_of(crash))


@pytest.mark.parametrize(
    ("name", "data", "title"),
    [
        ("app.crash", {"app": "blink", "reason": TRACE}, "ValueError: 17 is over 16 at blink.py line 12 in measure"),
        ("reboot", {"reason": "watchdog", "boot": 3}, "reset: watchdog"),
        (
            "reboot",
            {"reason": "restart", "not_started": "the last starts ended within a minute"},
            "reset: restart; no program was started: the last starts ended within a minute",
        ),
        ("reboot", {"reason": "power_on"}, None),
        ("button", {"reason": "panic"}, None),
    ],
)
def test_crashes_are_told_in_a_line_and_nothing_else_is_one(name: str, data: ValueMap, title: str | None) -> None:
    crash = crash_of(name, data)
    assert (crash and title_of(crash)) == title


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (kind(TRACE), kind(TRACE.replace("17", "99")), True),
        (kind(TRACE), kind(TRACE.replace("line 12", "line 13")), False),
        (kind(TRACE), kind(TRACE, "lamp"), False),
        (kind(TRACE), kind(TRACE, version="def"), False),
        (kind("OSError: [Errno 19] ENODEV"), kind("OSError: [Errno 116] ETIMEDOUT"), False),
    ],
)
def test_a_kind_is_of_a_program_a_version_and_a_place_whatever_numbers_it_names(
    one: str, other: str, is_same: bool
) -> None:
    assert (one == other) is is_same


def test_a_boards_words_steer_no_terminal_and_are_cut() -> None:
    evil = "\x1b]0;x\x07a\u202eb\x9b31m\r\n" + "x" * 9_000 + "\n" + "line\n" * 50
    trace = clean_trace(evil)
    assert len(trace.splitlines()) == 20
    assert max(map(len, clean_trace("x" * 9_000).splitlines())) <= 240
    assert all(char.isprintable() or char == "\n" for char in trace)
    crash = crash_of("app.crash", {"app": "\x1b[31m" + "n" * 500, "reason": evil})
    assert crash is not None
    assert len(crash.program or "") < 60
    assert str(crash.program).isprintable()
    assert len(title_of(crash)) <= MAX_TITLE_CHARS


CRASH: ValueMap = {"app": "blink", "reason": "Exception: unreachable (line 5, in main)", "alive": False}


async def stored(plane: Plane, device: ScriptedDevice, *events: Event) -> None:
    """The host has them in its store."""
    for event in events:
        await device.send(event)
        await plane.published.until(DeviceEvent)


async def take_all(reported: ReportedEvents) -> None:
    while await reported.take():
        pass


def another(plane: Plane, history: TelemetryHistory) -> ReportedEvents:
    parts = (plane.database, plane.registry, plane.links, history)
    plane.links.parts.reports.in_source = Sources().in_source
    return ReportedEvents(*parts, publish=plane.published.add)


@pytest.fixture
def crashes(plane: Plane) -> CrashTable:
    return CrashTable(plane.database)


async def test_a_crash_is_grouped_with_its_trace_and_last_lines(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, crashes: CrashTable, sources: Sources
) -> None:
    sources.versions["blink"] = "a" * 64
    async with paired.connected():
        await paired.until_ready()
        trace = [("blink", "Traceback (most recent call last):"), ("blink", '  File "x"'), ("blink", "ValueError: 1")]
        lines = [("blink", "one\x1b[31m"), ("lamp", "not mine"), *trace, ("", "board")]
        for n, (source, text) in enumerate(lines, 1):
            await paired.send(Log("info", source, n, text))
            await plane.published.until(DeviceLog)
        await stored(plane, paired, Event("app.crash", CRASH), Event("app.crash", CRASH))
        await stored(plane, paired, Event("reboot", {"reason": "watchdog"}))
    await take_all(reported)
    first = await plane.published.until(Crashed)
    second = await plane.published.until(Crashed)
    assert (first.device, first.is_new, first.count) == ("lamp", True, 1)
    assert (second.crash_id, second.is_new, second.count) == (first.crash_id, False, 2)
    group, reports = await crashes.reports(first.crash_id)
    assert (group.kind, group.program, group.version, group.count) == ("program", "blink", "a" * 12, 2)
    assert group.devices == (plane.registry.get("lamp").device_id,)
    (reset,) = [one for one in await crashes.groups() if one.kind == "reset"]
    assert (reset.title, reset.version) == ("reset: watchdog", "scripted 1")
    assert reports[0].trace == CRASH["reason"]
    assert reports[0].firmware == "scripted 1"
    assert reports[0].log == ("blink: one", "blink: ValueError: 1", "board")


async def test_after_a_death_in_between_and_at_two_hosts_at_once_each_event_counts_once(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, crashes: CrashTable, history: TelemetryHistory
) -> None:
    reading = Event("mqtt.publish", {"app": "a", "topic": "room/temperature", "text": "21.5"})
    async with paired.connected():
        await paired.until_ready()
        await stored(plane, paired, Event("app.crash", CRASH), reading)
        await take_all(reported)
        await stored(plane, paired, Event("app.crash", CRASH), reading)  # the host dies before these are read
    for _ in range(2):  # two of them at once, and again
        await asyncio.gather(take_all(reported), take_all(another(plane, history)))
    (group,) = await crashes.groups(since_ms=0)
    assert group.count == 2
    device_id = plane.registry.get("lamp").device_id
    last = next(one for one in history.last(device_id) if one.key == "room/temperature")
    found = await history.read(device_id, ["room/temperature"], last.at_ms - HOUR_MS, last.at_ms + 1, 2)
    assert sum(bucket.count for bucket in found.series[0].points) == 2


async def keep(plane: Plane, *reports: CrashReport) -> list[StoredCrash | None]:
    return await plane.database.write(lambda sql: [insert_crash(sql, one) for one in reports])


def report(plane: Plane, device: str, kind: str, at_ms: int = 1) -> CrashReport:
    device_id = plane.registry.get(device).device_id
    return CrashReport(device_id, at_ms, kind, "program", kind, None, kind, "", "trace", ())


async def test_a_board_with_many_kinds_pushes_its_own_out(plane: Plane, crashes: CrashTable) -> None:
    for name in ("lamp", "torch"):
        await plane.registry.add(name, "virtual", ())
    await keep(plane, report(plane, "torch", "other"))
    await keep(plane, *(report(plane, "lamp", str(n), n) for n in range(MAX_GROUPS_FOUND_ON + 3)))
    kinds = {group.program for group in await crashes.groups(since_ms=0)}
    assert kinds == {"other", *map(str, range(3, MAX_GROUPS_FOUND_ON + 3))}


async def test_a_board_takes_its_crashes_along_and_two_entries_that_are_one_have_them_together(
    plane: Plane, crashes: CrashTable
) -> None:
    await plane.registry.add("lamp", "virtual", ())
    torch = await plane.registry.add("torch", "virtual", ())
    late = report(plane, "lamp", "late")
    await keep(plane, report(plane, "lamp", "one"), report(plane, "lamp", "one"))
    await plane.registry.merge("torch", "lamp")
    (group,) = await crashes.groups(since_ms=0)
    assert (group.count, group.devices) == (2, (torch.device_id,))
    assert await keep(plane, late) == [None]
    await plane.registry.remove("torch")
    assert await crashes.groups(since_ms=0) == ()
    await plane.registry.add("torch", "virtual", (), device_id=torch.device_id)
    (again,) = await keep(plane, report(plane, "torch", "one"))
    assert again is not None
    assert again.is_new  # the kind that nobody has any more was forgotten with its board
