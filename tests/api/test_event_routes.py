"""The live feed and its event stream: order, what was missed, bounds, the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import TypeAlias

import pytest
from tests.channels.conftest import GUEST, MEMBER, MemoryPeople

from microclaw.api.event_routes import KINDS, LiveFeed, LostEvents, NumberedEvent, event_stream, event_text, may_see
from microclaw.api.live_pins import EdgeNews
from microclaw.auth.people import OWNER
from microclaw.errors import Overloaded
from microclaw.events import (
    Alarm,
    AppEnded,
    ApprovalChanged,
    DeviceConnected,
    DeviceEvent,
    DeviceLog,
    LiveEvent,
    TaskChanged,
)

WAIT_S = 60.0


def _alarm(number: int) -> Alarm:
    return Alarm("kitchen", number, "copied_token", f"alarm {number}")


Told: TypeAlias = NumberedEvent | LostEvents | EdgeNews | None


async def _next(
    stream: AsyncIterator[Told],
) -> Told:
    return await asyncio.wait_for(anext(stream), WAIT_S)


async def test_events_reach_a_reader_in_order() -> None:
    feed = LiveFeed("a1")
    stream = feed.read(feed.last, WAIT_S)
    events: list[LiveEvent] = [
        DeviceConnected("kitchen", 1, "link:7", "192.0.2.7"),
        AppEnded("kitchen", 2, "blink", "trapped"),
    ]
    for event in events:
        feed.put(event)
    assert [await _next(stream), await _next(stream)] == [NumberedEvent(1, events[0]), NumberedEvent(2, events[1])]
    await stream.aclose()


async def test_the_hosts_end_ends_every_reader_after_the_last_event() -> None:
    feed = LiveFeed("a1")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_collect(feed.read(0, WAIT_S)))
        feed.put(_alarm(1))
        feed.end()
        feed.put(_alarm(2))
        assert await asyncio.wait_for(waiting, WAIT_S) == [NumberedEvent(1, _alarm(1))]
    assert feed.listeners == 0


async def test_reader_that_comes_back_gets_what_it_missed() -> None:
    feed = LiveFeed("a1")
    for number in range(1, 5):
        feed.put(_alarm(number))
    stream = feed.read(2, WAIT_S)
    assert [await _next(stream), await _next(stream)] == [NumberedEvent(3, _alarm(3)), NumberedEvent(4, _alarm(4))]
    await stream.aclose()


async def test_reader_that_is_overtaken_while_it_reads_is_told() -> None:
    feed = LiveFeed("a1", ring_events=2)
    feed.put(_alarm(1))
    stream = feed.read(0, WAIT_S)
    assert await _next(stream) == NumberedEvent(1, _alarm(1))
    for number in range(2, 6):
        feed.put(_alarm(number))
    assert [await _next(stream), await _next(stream)] == [LostEvents(2, 3), NumberedEvent(4, _alarm(4))]
    await stream.aclose()


@pytest.mark.parametrize(
    ("last_event_id", "after", "is_gap"),
    [
        (None, 3, False),
        ("", 3, False),
        ("aaaa01-2", 2, False),
        ("aaaa00-900", 0, True),  # an earlier run of this host
        ("bbbb01-2", 3, True),  # another host's
        ("aaaa01-4", 3, True),  # never given
        ("what", 3, True),
    ],
)
def test_an_id_that_this_host_does_not_know_begins_now_with_a_gap(
    last_event_id: str | None, after: int, is_gap: bool
) -> None:
    feed = LiveFeed("01", origin="aaaa")
    for number in range(1, 4):
        feed.put(_alarm(number))
    assert feed.place(last_event_id) == (after, LostEvents(None, after) if is_gap else None)


async def test_a_gap_is_told_whatever_is_asked_for_and_once() -> None:
    feed = LiveFeed("01", origin="aaaa")
    feed.put(_alarm(1))
    after, gap = feed.place("bbbb01-7")
    stream = event_stream(feed, after, WAIT_S, "hall", frozenset({"device.event"}), gap=gap)
    blocks = [await asyncio.wait_for(anext(stream), WAIT_S) for _ in range(2)]
    await stream.aclose()
    assert blocks[1] == 'id: aaaa01-1\nevent: lost\ndata: {"count":null}\n\n'
    assert feed.place("aaaa01-1") == (1, None)


async def test_readers_are_bounded() -> None:
    feed = LiveFeed("a1", max_listeners=1)
    feed.check_room()
    stream = feed.read(0, 0.001)
    await _next(stream)
    with pytest.raises(Overloaded):
        feed.check_room()
    await stream.aclose()
    feed.check_room()


async def test_who_is_no_owner_leaves_room_for_others_and_all_of_them_for_owners() -> None:
    feed = LiveFeed("a1", max_listeners=8)
    streams = []
    for person in ("rob", "rob~read-only", "ada", "ada", "gus", "gus"):
        feed.check_room(person, is_owner=False)
        streams.append(feed.read(0, 0.001, person_id=person))
        await _next(streams[-1])
        if person == "rob~read-only":
            with pytest.raises(Overloaded):
                feed.check_room("rob", is_owner=False)
    with pytest.raises(Overloaded):
        feed.check_room("eve", is_owner=False)
    feed.check_room("owner")
    for stream in streams:
        await stream.aclose()
    feed.check_room("rob", is_owner=False)


async def test_other_kinds_and_devices_are_left_out() -> None:
    feed = LiveFeed("a1")
    for event in (_alarm(1), AppEnded("kitchen", 2, "blink", "trapped"), AppEnded("hall", 3, "blink", "trapped")):
        feed.put(event)
    stream = event_stream(feed, 0, 0.001, "kitchen", frozenset({"app.ended"}))
    blocks = [await asyncio.wait_for(anext(stream), WAIT_S) for _ in range(3)]
    assert [block.partition("\n")[0] for block in blocks] == ["retry: 2000", "id: a1-2", ": nothing new"]


@pytest.mark.parametrize(
    ("who", "told"), [("owner", ["1", "2", "3"]), (MEMBER.person_id, ["2"]), (GUEST.person_id, []), ("gone", [])]
)
async def test_tasks_are_told_to_owners_and_to_whose_they_are(who: str, told: list[str]) -> None:
    people = MemoryPeople({("x", "1"): OWNER, ("x", "2"): MEMBER, ("x", "3"): GUEST})
    feed = LiveFeed("a1")
    for device, person_id in (("", "owner"), ("", MEMBER.person_id), ("kitchen", "device:d-1")):
        feed.put(TaskChanged(device, 1, 7, "queued", "", "python", "somebody", person_id))
    feed.put(_alarm(4))
    sees = partial(may_see, people, who)
    stream = event_stream(feed, 0, WAIT_S, None, KINDS, sees)
    blocks = [await asyncio.wait_for(anext(stream), WAIT_S) for _ in range(len(told) + 2)]
    assert [block.partition("\n")[0] for block in blocks[1:]] == [f"id: a1-{number}" for number in (*told, "4")]
    await stream.aclose()


@pytest.mark.parametrize(
    ("who", "told"), [("owner", ["1", "2"]), (MEMBER.person_id, ["2"]), (GUEST.person_id, []), ("gone", [])]
)
def test_questions_are_told_to_owners_and_to_whose_they_are(who: str, told: list[str]) -> None:
    people = MemoryPeople({("x", "1"): OWNER, ("x", "2"): MEMBER, ("x", "3"): GUEST})
    events = [
        ApprovalChanged("", 1, "1", "asked", OWNER.name, "", "forget the device kitchen", OWNER.person_id),
        ApprovalChanged("", 2, "2", "declined", "an old name", OWNER.name, "forget the device hall", MEMBER.person_id),
    ]
    assert [event.approval for event in events if may_see(people, who, event)] == told


def test_events_are_logged_with_the_device_and_without_texts(caplog: pytest.LogCaptureFixture) -> None:
    feed = LiveFeed("a1")
    with caplog.at_level("INFO"):
        feed.put(Alarm("kitchen", 1, "copied_token", "private"))
        feed.put(DeviceLog("kitchen", 2, "info", "blink", 9, "private"))
        feed.put(DeviceEvent("kitchen", 3, "button"))
    assert [(r.levelname, r.message, getattr(r, "device", "")) for r in caplog.records] == [
        ("WARNING", "alarm", "kitchen"),
        ("INFO", "device.event", "kitchen"),
    ]
    assert "private" not in str([vars(record) for record in caplog.records])


def test_event_is_one_line_of_json_whatever_the_device_wrote() -> None:
    log = DeviceLog("kitchen", 5, "info", "blink", 9, "line\n\nevent: alarm\r\ndata: {} \u2028 ende")
    identity, kind, data, *rest = event_text("a1", NumberedEvent(3, log)).splitlines()
    assert (identity, kind, rest) == ("id: a1-3", "event: log", [""])
    assert json.loads(data.removeprefix("data: ")) == {
        "device": "kitchen",
        "at_ms": 5,
        "level": "info",
        "source": "blink",
        "n": 9,
        "text": log.text,
    }


async def _collect(
    stream: AsyncIterator[Told],
) -> list[Told]:
    return [each async for each in stream]
