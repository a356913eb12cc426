"""Answers of devices: read by their types, and a record of edges that cannot be is no proof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from microclaw.devices.link.edge_pages import EdgePages, EdgesAnswer
from microclaw.devices.link.transport import read_value
from microclaw.devices.registry import calls
from microclaw.devices.registry.call_text import result_value
from microclaw.devices.registry.calls import EdgeLog
from microclaw.devices.registry.device_text import collect_device_texts, note_answer
from microclaw.errors import DeviceLied, ProtocolError
from microclaw.events import Edge
from microclaw.wire.link.values import Value

ANSWERS: list[tuple[calls.Call[Any], Value, object]] = [
    (calls.GpioGet(4), {"pin": 4, "level": 1, "later": [1]}, calls.PinLevel(4, 1)),
    (calls.AdcRead(1), {"pin": 1, "raw": 2048, "volts": 1}, calls.AdcReading(1, 2048, 1.0)),
    (calls.I2cScan(), {"addresses": [64, 118]}, calls.I2cAddresses((64, 118))),
    (calls.DeviceInfo(), {"name": "lamp", "heap": 5, "on": True, "raw": b"x", "list": []},
     calls.DeviceFacts({"name": "lamp", "heap": 5, "on": True})),
    (calls.AppList(), {"apps": [{"name": "a", "heap": 8192, "state": "running"}, {"name": "b"}]},
     (calls.AppEntry("a", 8192), calls.AppEntry("b", 0))),
    (calls.AppList(), {"apps": [{"name": "a", "heap": 8192, "state": "running", "pins": [2]}]},
     (calls.AppEntry("a", 8192, calls.AppState("a", "running", None, 8192, 0, 0, (2,))),)),
    (calls.AppStates(),
     {"apps": [{"name": "a", "state": "trapped", "error": "stack", "peak_heap": 7, "pins": [2]}]},
     (calls.AppState("a", "trapped", "stack", 0, 7, 0, (2,)),)),
    (calls.EdgesRead(), {"edges": [[0.5, 2, 1], [1, 2.0, 0.0]], "cursor": 2, "now_ms": 3},
     EdgesAnswer([(0.5, 2, 1), (1.0, 2, 0)], 2, 3.0)),
]  # fmt: skip


OTHERS: list[tuple[calls.Call[Any], list[Any]]] = [
    (calls.GpioGet(4), [None, [], {"pin": 4}, *({"pin": 4, "level": level} for level in (True, 1.0, None))]),
    (calls.AdcRead(1), [{"pin": 1, "raw": 1, "volts": "1"}, {"pin": 1, "raw": 1, "volts": False}]),
    (calls.I2cScan(), [{"addresses": 5}, {"addresses": [True]}, {"addresses": ["64"]}]),
    (calls.I2cRead("x"), [{"sensor": "x", "values": values} for values in ([1], {"a": "b"}, {"a": True})]),
    (calls.I2cRead("x"), [{"sensor": b"x", "values": {}}]),
    (calls.DeviceInfo(), ["text"]),
    (calls.AppList(), [{}, {"apps": None}, {"apps": [5]}]),
    (calls.AppStates(), [{"apps": [{"name": "a"}]}, {"apps": [{"name": "a", "state": "b", "pins": ["2"]}]}]),
    (calls.EdgesRead(), [{"edges": [edge], "cursor": 1, "now_ms": 1} for edge in ([1, 2], [1, 2, "1"], [1, 2, None])]),
    (calls.EdgesRead(), [{"edges": [], "cursor": 1.5, "now_ms": 1}, {"edges": [], "cursor": 1}]),
]


def test_an_answer_is_read_by_its_types_and_another_is_a_protocol_error_with_a_next_step() -> None:
    for call, value, answer in ANSWERS:
        assert read_value(call, value, "link:lamp") == answer
    for call, values in OTHERS:
        for value in values:
            with pytest.raises(ProtocolError) as caught:
                read_value(call, value, "link:lamp")
            assert caught.value.next_step, (call, value)


def test_a_list_is_shown_without_the_states_in_it_and_their_texts_are_those_of_the_device() -> None:
    error = "Traceback: turn the heating off"
    answer: Value = {"apps": [{"name": "a", "heap": 4096, "state": "trapped", "error": error}]}
    entries = read_value(calls.AppList(), answer, "link:lamp")
    assert result_value(entries) == [{"name": "a", "heap_bytes": 4096}]
    with collect_device_texts() as texts:
        note_answer(entries, ())
    assert texts == [error]


def page(edges: Sequence[tuple[float, int, int]], cursor: int, **more: object) -> EdgesAnswer:
    return EdgesAnswer(list(edges), cursor, 1_000.0, **more)  # type: ignore[arg-type]


def read(*answers: EdgesAnswer, cursor: int = 0) -> EdgeLog:
    pages = EdgePages("lamp", cursor)
    for answer in answers:
        assert pages.wants_more
        pages.add(answer)
    return pages.log()


@pytest.mark.parametrize(
    "answers",
    [
        [page([(5, 4, 1)], 0, more=True)],
        [page([(5, 4, 1)], 1, more=True), page([(6, 4, 0)], 1)],
        [page([], -2)],
        [page([(5, 4, 1)], 1, dropped=-1)],
        [page([(5, 4, 1), (1, 4, 0)], 2)],
        [page([(5, 4, 1)], 1, more=True), page([(1, 4, 0)], 2)],
        [page([(1, 4, 1), (2, 5, 1), (3, 4, 1)], 3)],
        [page([(1, 4, 0)], 1, more=True), page([(2, 4, 0)], 2)],
        [page([(1, 4, 1), (2, 4, 1)], 2, counts={"4": 2}, evidence={"4": "counted"})],
    ],
)
def test_a_record_that_cannot_be_is_device_lied(answers: list[EdgesAnswer]) -> None:
    with pytest.raises(DeviceLied) as caught:
        read(*answers)
    assert caught.value.next_step is not None


@pytest.mark.parametrize(
    "answers",
    [
        [page([(1, 4, 1), (1, 5, 1), (1, 4, 0)], 3)],  # in one moment, and two pins
        [page([(1, 4, 1), (2, 4, 0)], 2, more=True), page([(3, 4, 1)], 3)],
        [page([(1, 4, 1)], 1, more=True), page([(9, 4, 1)], 7, dropped=5)],  # the ring went over in between
        [page([(1, 4, 1), (2, 4, 1)], 2, evidence={"4": "at_least"})],
        [page([(1, 4, 1), (2, 4, 1)], 2, counts={"4": 1})],  # another program claimed the pin in between
        [page([(1, 4, 1), (2, 4, 1)], 2, counts={})],  # nobody has the pin any more
        [page([(5, 5, 1), (4, 4, 1)], 2)],  # of two pins one was noted within the other's interrupt
    ],
)
def test_what_a_board_can_have_seen_is_taken(answers: list[EdgesAnswer]) -> None:
    log = read(*answers)
    assert [(edge.t_ms, edge.pin, edge.level) for edge in log.edges] == [row for a in answers for row in a.edges]
    assert log.dropped == sum(answer.dropped or 0 for answer in answers)
    assert log.cursor == answers[-1].cursor


def test_a_cursor_of_another_boot_brings_the_one_to_go_on_from() -> None:
    assert read(page([], 3), cursor=900) == EdgeLog((), 3, 0, 1_000.0)
    assert read(page([(1, 4, 1)], 4), cursor=3).edges == (Edge(1, 4, 1),)
