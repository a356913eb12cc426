"""Events of a real link become readings and crashes: each once, whatever dies in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.link_server.conftest import Plane, ScriptedDevice
from tests.telemetry.conftest import Sources

from microclaw.errors import UnknownName
from microclaw.events import Crashed, DeviceEvent, DeviceLog
from microclaw.store.crashes import MAX_GROUPS_FOUND_ON, CrashReport, CrashTable, insert_crash
from microclaw.store.telemetry import HOUR_MS
from microclaw.telemetry.history import TelemetryHistory
from microclaw.telemetry.reported import ReportedEvents
from microclaw.wire.link.messages import Event, Log
from microclaw.wire.link.values import ValueMap

CRASH: ValueMap = {"app": "blink", "reason": "Exception: unreachable (line 5, in main)", "alive": False}


async def stored(plane: Plane, device: ScriptedDevice, *events: Event) -> None:
    """The host has them in its store."""
    for event in events:
        await device.send(event)
        await plane.published.until(DeviceEvent)


async def take_all(reported: ReportedEvents) -> None:
    while await reported.take():
        pass


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
    await take_all(reported)
    first, second = await plane.published.until(Crashed), await plane.published.until(Crashed)
    assert (first.device, first.is_new, first.count) == ("lamp", True, 1)
    assert (second.crash_id, second.is_new, second.count) == (first.crash_id, False, 2)
    group, reports = await crashes.reports(first.crash_id)
    assert (group.kind, group.program, group.version, group.count) == ("program", "blink", "a" * 12, 2)
    assert group.devices == (plane.registry.get("lamp").device_id,)
    assert reports[0].trace == CRASH["reason"]
    assert reports[0].firmware == "scripted 1"
    assert reports[0].log == ("blink: one", "board")


async def test_traps_differ_by_the_line_that_the_programs_own_checks_said(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, crashes: CrashTable
) -> None:
    async with paired.connected():
        await paired.until_ready()
        n = 0
        for said in ("line 2 column 44: a division by 0 of 'int'", "line 9 column 3: index 58 is outside 'int[4]'"):
            trapped = "Got exception running WASM code: Exception: unreachable"
            for text in (said, trapped, "microclaw: ended by the exception above"):
                n += 1
                await paired.send(Log("info", "blink", n, text))
                await plane.published.until(DeviceLog)
            await stored(plane, paired, Event("app.crash", {"app": "blink", "reason": "Exception: unreachable"}))
            await take_all(reported)
    second, first = await crashes.groups(since_ms=0)
    assert first.title == "line 2 column 44: a division by 0 of 'int'"
    assert second.title == "line 9 column 3: index 58 is outside 'int[4]'"


async def test_after_a_death_in_between_each_event_counts_once(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, crashes: CrashTable, history: TelemetryHistory
) -> None:
    reading = Event("mqtt.publish", {"app": "a", "topic": "room/temperature", "text": "21.5"})
    async with paired.connected():
        await paired.until_ready()
        await stored(plane, paired, Event("app.crash", CRASH), reading)
        await take_all(reported)
        await stored(plane, paired, Event("app.crash", CRASH), reading)  # the host dies before these are read
    for _ in range(3):  # and starts again, more than once
        again = ReportedEvents(
            plane.database, plane.registry, plane.links, history,
            in_source=Sources().in_source, publish=plane.published.add,
        )  # fmt: skip
        await take_all(again)
    (group,) = await crashes.groups(since_ms=0)
    assert group.count == 2
    device_id = plane.registry.get("lamp").device_id
    last = next(one for one in history.last(device_id) if one.key == "room/temperature")
    found = await history.read(device_id, ["room/temperature"], last.at_ms - HOUR_MS, last.at_ms + 1, 2)
    assert sum(bucket.count for bucket in found.series["room/temperature"]) == 2


async def test_events_that_two_hosts_read_at_once_count_once(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, crashes: CrashTable, history: TelemetryHistory
) -> None:
    other = ReportedEvents(
        plane.database, plane.registry, plane.links, history,
        in_source=Sources().in_source, publish=plane.published.add,
    )  # fmt: skip
    async with paired.connected():
        await paired.until_ready()
        for _ in range(2):
            await stored(plane, paired, Event("app.crash", CRASH), Event("app.crash", CRASH))
            await asyncio.gather(take_all(reported), take_all(other))
    (group,) = await crashes.groups(since_ms=0)
    assert group.count == 4


async def test_a_rollout_learns_what_a_board_had_since_a_time(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, crashes: CrashTable
) -> None:
    device_id = plane.registry.get("lamp").device_id
    async with paired.connected():
        await paired.until_ready()
        await stored(plane, paired, Event("app.crash", CRASH))
        await take_all(reported)
        began_ms = (await crashes.groups(since_ms=0))[0].last_ms + 1
        assert await crashes.groups(since_ms=began_ms, devices=[device_id]) == ()
        while True:  # in another millisecond
            await stored(plane, paired, Event("app.crash", CRASH), Event("reboot", {"reason": "watchdog"}))
            await take_all(reported)
            if len(await crashes.groups(since_ms=began_ms, devices=[device_id])) == 2:
                break
    known, new = sorted(await crashes.groups(since_ms=began_ms, devices=[device_id]), key=lambda group: group.found_ms)
    assert (known.kind, known.found_ms < began_ms) == ("program", True)
    assert (new.kind, new.title, new.version) == ("reset", "reset: watchdog", "scripted 1")
    assert await crashes.groups(since_ms=began_ms, devices=["another"]) == ()


async def test_words_over_mqtt_are_no_readings_and_not_refused(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, history: TelemetryHistory
) -> None:
    device_id = plane.registry.get("lamp").device_id
    async with paired.connected():
        await paired.until_ready()
        await stored(plane, paired, Event("mqtt.publish", {"app": "a", "topic": "door/4", "text": "open"}))
        await stored(plane, paired, Event("mqtt.publish", {"app": "a", "topic": "t", "text": "1e999"}))
    await take_all(reported)
    assert await history.keys(device_id) == ()
    assert history.refused(device_id) == {"number": 1}


async def test_a_board_with_many_kinds_pushes_its_own_out(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, crashes: CrashTable
) -> None:
    async with paired.connected():
        await paired.until_ready()
        for n in range(MAX_GROUPS_FOUND_ON + 3):
            await stored(plane, paired, Event("app.crash", {"app": f"app{n}", "reason": "Exception: unreachable"}))
    await take_all(reported)
    groups = await crashes.groups(since_ms=0)
    assert {group.program for group in groups} == {f"app{n}" for n in range(3, MAX_GROUPS_FOUND_ON + 3)}


async def test_what_is_cleared_is_new_when_it_comes_again(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, crashes: CrashTable
) -> None:
    async with paired.connected():
        await paired.until_ready()
        await stored(plane, paired, Event("app.crash", CRASH))
        await take_all(reported)
        first = await plane.published.until(Crashed)
        assert await crashes.clear([first.crash_id], ["another"]) == 0
        assert await crashes.clear([first.crash_id], None) == 1
        with pytest.raises(UnknownName):
            await crashes.reports(first.crash_id)
        await stored(plane, paired, Event("app.crash", CRASH))
        await take_all(reported)
    assert (await plane.published.until(Crashed)).is_new


async def test_a_board_that_is_removed_takes_its_crashes_along(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, crashes: CrashTable
) -> None:
    async with paired.connected():
        await paired.until_ready()
        await stored(plane, paired, Event("app.crash", CRASH))
    await take_all(reported)
    await plane.registry.remove("lamp")
    assert await crashes.groups(since_ms=0) == ()
    report = CrashReport("d-2", 9, "f" * 16, "program", "blink", None, "t", "", "t", ())
    await plane.registry.add("torch", "virtual", (), device_id="d-2")
    for is_new in (True, False):
        kept = await plane.database.write(lambda connection: insert_crash(connection, report))
        assert kept is not None
        assert kept.is_new is is_new
    await plane.registry.remove("torch")
    assert await plane.database.write(lambda connection: insert_crash(connection, report)) is None
    await plane.registry.add("torch", "virtual", (), device_id="d-2")
    again = await plane.database.write(lambda connection: insert_crash(connection, report))
    assert again is not None
    assert again.is_new  # the kind that nobody has any more was forgotten with its board


async def test_crashes_of_two_entries_that_are_one_board_are_counted_together(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, crashes: CrashTable
) -> None:
    async with paired.connected():
        await paired.until_ready()
        await stored(plane, paired, Event("app.crash", CRASH))
    await take_all(reported)
    other = await plane.registry.add("torch", "virtual", ())
    await plane.registry.merge("torch", "lamp")
    (group,) = await crashes.groups(since_ms=0)
    assert (group.count, group.devices) == (1, (other.device_id,))


async def test_follow_reads_on_as_events_come(
    plane: Plane, paired: ScriptedDevice, reported: ReportedEvents, crashes: CrashTable
) -> None:
    plane.links.parts.reports.event = reported.news
    following = asyncio.ensure_future(reported.follow())
    try:
        async with paired.connected():
            await paired.until_ready()
            for count in (1, 2):
                await paired.send(Event("app.crash", CRASH))
                crashed: Any = await plane.published.until(Crashed)
                assert crashed.count == count
    finally:
        following.cancel()
