"""The live feed, its event stream, and edges of boards: order, what was missed, bounds, the end."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
from tests.interfaces.api.people_host import PeopleHost
from tests.interfaces.channels.conftest import GUEST, MEMBER, MemoryPeople

from microclaw.devices.registry.calls import GpioSet
from microclaw.devices.registry.device import Device
from microclaw.errors import NotSupported, Overloaded, UnknownName
from microclaw.events import Alarm, ApprovalChanged, ChatChanged, DeviceEvent, DeviceLog, Edge, TaskChanged
from microclaw.host.auth.people import OWNER
from microclaw.interfaces.api.event_routes import LiveFeed, may_see
from microclaw.interfaces.api.live_pins import MAX_EDGES, EdgeNews, EdgeReader, LivePins, WatchedBoard
from microclaw.programs.bench.board_bench import BoardBench

LOST = 'id: {}\nevent: lost\ndata: {{"count":{}}}\n\n'


def feed_of(alarms: int, **options: Any) -> LiveFeed:
    feed = LiveFeed("01", origin="aaaa", **options)
    for number in range(1, alarms + 1):
        feed.put(Alarm("kitchen", number, "copied_token", f"alarm {number}"))
    return feed


async def heard(feed: LiveFeed, count: int, after: int = 0, **options: Any) -> list[str]:
    """So many blocks after the first, which is `retry`."""
    async with asyncio.timeout(60), aclosing(feed.read(after, **options)) as stream:
        blocks = [await anext(stream) for _ in range(count + 1)]
    assert blocks[0] == "retry: 2000\n\n"
    return blocks[1:]


def ids(blocks: list[str]) -> list[str]:
    return [block.partition("\n")[0].removeprefix("id: aaaa01-") for block in blocks]


async def test_a_reader_gets_what_it_missed_in_order_and_its_end_after_the_last_event() -> None:
    feed = feed_of(4)
    assert ids(await heard(feed, 2, after=2)) == ["3", "4"]
    async with asyncio.TaskGroup() as group, asyncio.timeout(60):
        waiting = group.create_task(_collect(feed))
        await asyncio.sleep(0)
        feed.put(Alarm("hall", 5, "copied_token", "five"))
        feed.end()
        feed.put(Alarm("hall", 6, "copied_token", "six"))
        assert ids((await waiting)[1:]) == ["1", "2", "3", "4", "5"]
    assert feed.listeners == 0


async def _collect(feed: LiveFeed) -> list[str]:
    return [block async for block in feed.read(0)]


async def test_a_reader_that_is_overtaken_is_told_how_many_it_lost() -> None:
    feed = feed_of(5, ring_events=2)
    blocks = await heard(feed, 3, after=1)
    assert blocks[0] == LOST.format("aaaa01-3", 2)
    assert ids(blocks) == ["3", "4", "5"]


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
async def test_an_id_that_this_host_does_not_know_begins_now_with_a_gap(
    last_event_id: str | None, after: int, is_gap: bool
) -> None:
    feed = feed_of(3)
    assert feed.place(last_event_id) == (after, is_gap)
    if is_gap:  # whatever is asked for, and once
        assert await heard(feed, 1, after, gap=True, sees=lambda _: False) == [LOST.format(f"aaaa01-{after}", "null")]
        assert feed.place(f"aaaa01-{after}") == (after, False)


async def test_who_is_no_owner_leaves_room_for_others_and_all_of_them_for_owners() -> None:
    feed = feed_of(0, max_listeners=8)
    streams = []

    async def listens(person: str, *, is_owner: bool = False) -> None:
        feed.check_room(person, is_owner=is_owner)
        streams.append(feed.read(0, person_id=person))
        await anext(streams[-1])

    for person in ("rob", "rob~read-only", "ada", "ada", "gus", "gus"):
        await listens(person)
    for person in ("rob", "eve"):  # two for each, and six for all of them
        with pytest.raises(Overloaded):
            feed.check_room(person, is_owner=False)
    for _ in range(2):
        await listens("owner", is_owner=True)
    with pytest.raises(Overloaded):
        feed.check_room("owner")
    for stream in streams:
        await stream.aclose()
    feed.check_room("rob", is_owner=False)


async def test_tasks_and_questions_are_told_to_owners_and_to_whose_they_are() -> None:
    people = MemoryPeople({("x", "1"): OWNER, ("x", "2"): MEMBER, ("x", "3"): GUEST})
    feed = feed_of(0)
    for device, person_id in (("", "owner"), ("", MEMBER.person_id), ("kitchen", "device:d-1")):
        feed.put(TaskChanged(device, 1, 7, "queued", "", "python", "somebody", person_id))
    for person_id in (OWNER.person_id, MEMBER.person_id):
        feed.put(ApprovalChanged("", 1, "1", "asked", "an old name", "", "forget the device", person_id))
    feed.put(Alarm("kitchen", 2, "copied_token", "for everybody"))
    feed.put(ChatChanged("", 3, 1, "accepted", "api", GUEST.person_id))
    for who, told in ((OWNER.person_id, "123456"), (MEMBER.person_id, "256"), (GUEST.person_id, "67"), ("gone", "6")):
        assert ids(await heard(feed, len(told), sees=partial(may_see, people, who))) == list(told)


def test_events_are_logged_with_the_device_and_without_texts(caplog: pytest.LogCaptureFixture) -> None:
    feed = feed_of(0)
    with caplog.at_level("INFO"):
        feed.put(Alarm("kitchen", 1, "copied_token", "private"))
        feed.put(DeviceLog("kitchen", 2, "info", "blink", 9, "private"))
        feed.put(DeviceEvent("kitchen", 3, "button"))
    assert [(r.levelname, r.message, getattr(r, "device", "")) for r in caplog.records] == [
        ("WARNING", "alarm", "kitchen"),
        ("INFO", "device.event", "kitchen"),
    ]
    assert "private" not in str([vars(record) for record in caplog.records])


async def test_event_is_one_line_of_json_whatever_the_device_wrote() -> None:
    log = DeviceLog("kitchen", 5, "info", "blink", 9, "line\n\nevent: alarm\r\ndata: {} \u2028 ende")
    feed = feed_of(0)
    feed.put(log)
    identity, kind, data, *rest = (await heard(feed, 1))[0].splitlines()
    assert (identity, kind, rest) == ("id: aaaa01-1", "event: log", [""])
    value = {"device": "kitchen", "at_ms": 5, "level": "info", "source": "blink", "n": 9, "text": log.text}
    assert json.loads(data.removeprefix("data: ")) == value


MOVED = [Edge(1.0, 4, 1), Edge(2.0, 4, 0)]
ROWS = [(1.0, 4, 1), (2.0, 4, 0)]


def test_a_reader_that_does_not_keep_up_loses_the_oldest_and_is_told_how_many() -> None:
    board = WatchedBoard("kitchen")
    reader = EdgeReader([board])
    assert list(reader.take()) == []
    board.begin()
    board.count(MOVED, 0)
    board.tell(1)
    assert [(one["begins"], one["edges"], one["dropped"]) for one in reader.take()] == [(True, ROWS, 0)]
    for _ in range(MAX_EDGES):
        board.count(MOVED, 0)
        board.tell(2)
    (news,) = reader.take()
    assert (news["begins"], len(news["edges"]), news["dropped"]) == (False, MAX_EDGES, MAX_EDGES)
    board.count(MOVED, 3)  # the board's own loss
    board.tell(3, "away")
    assert [(one["problem"], one["edges"]) for one in reader.take()] == [("away", [])]
    assert list(reader.take()) == []


def no_bench(device: Device) -> BoardBench:
    raise AssertionError(f"nobody watches the parts of {device.name}")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_watch_of_parts_that_cannot_begin_reads_no_board(host: PeopleHost) -> None:
    def is_gone(device: Device) -> BoardBench:
        raise UnknownName(f"no device {device.name}")

    before = asyncio.all_tasks()
    async with asyncio.TaskGroup() as group:
        pins = LivePins(group, host.devices, open_bench=is_gone)
        ids = pins.find(["virtual-1"])
        with pytest.raises(UnknownName), pins.watch((), ids, lambda: None):
            raise AssertionError("it is watched")
        # The group ends with its tasks: one that still read the board would never end.
        assert [task for task in asyncio.all_tasks() - before if not task.cancelling()] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_who_watches_gets_a_boards_edges_once_and_a_second_reader_begins_anew(host: PeopleHost) -> None:
    async with asyncio.TaskGroup() as group:
        pins = LivePins(group, host.devices, open_bench=no_bench)
        board = host.device

        async def move(reader: EdgeReader, news: asyncio.Event, level: int) -> tuple[list[EdgeNews], list[int]]:
            """All news until the pin's new level is told, and the levels in them."""
            await board.call(GpioSet(10, level))
            found: list[EdgeNews] = []
            async with asyncio.timeout(60):
                while not any(to == level for one in found for _, _, to in one["edges"]):
                    await news.wait()
                    news.clear()
                    found += reader.take()
            return found, [to for one in found for _, pin, to in one["edges"] if pin == 10]

        (device_id,) = pins.check(["virtual-1"])
        first_news = asyncio.Event()
        second_news = asyncio.Event()
        with pins.watch([device_id], (), first_news.set) as board_news:
            first = board_news.edges
            found, levels = await move(first, first_news, 1)
            assert (found[0]["begins"], levels) == (True, [1])
            assert not any(one["begins"] for one in found[1:])
            with pins.watch([device_id], (), second_news.set) as second:
                found, levels = await move(second.edges, second_news, 0)
                assert (found[0]["begins"], levels) == (True, [1, 0])  # with what was before
            assert [to for one in first.take() for _, _, to in one["edges"]] == [0]
            await host.devices.add("mute", "virtual", ("wasmachine://127.0.0.1:9",))
            with pytest.raises(NotSupported):
                pins.check(["virtual-1", "mute"])
