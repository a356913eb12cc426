"""Edges of boards while somebody watches: from a real virtual board, and a reader that does not keep up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.api.people_host import people_host

from microclaw.api.live_pins import MAX_EDGES, EdgeNews, EdgeReader, LivePins, WatchedBoard
from microclaw.devices.calls import GpioSet
from microclaw.errors import NotSupported
from microclaw.events import Edge

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


async def test_who_watches_gets_a_boards_edges_once_and_a_second_reader_begins_anew(tmp_path: Path) -> None:
    async with people_host(tmp_path / "home") as host, asyncio.TaskGroup() as group:
        pins = LivePins(group, host.devices)
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
        first_news, second_news = asyncio.Event(), asyncio.Event()
        with pins.watching([device_id], first_news.set) as first:
            found, levels = await move(first, first_news, 1)
            assert (found[0]["begins"], levels) == (True, [1])
            assert not any(one["begins"] for one in found[1:])
            with pins.watching([device_id], second_news.set) as second:
                found, levels = await move(second, second_news, 0)
                assert (found[0]["begins"], levels) == (True, [1, 0])  # with what was before
            assert [to for one in first.take() for _, _, to in one["edges"]] == [0]
            await host.devices.add("mute", "virtual", ("wasmachine://127.0.0.1:9",))
            with pytest.raises(NotSupported):
                pins.check(["virtual-1", "mute"])
