"""A record of edges that cannot be is no proof: cursors, times, levels over all pages of a reading."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from microclaw.devices.calls import EdgeLog
from microclaw.errors import DeviceLied
from microclaw.events import Edge
from microclaw.link_server.edge_pages import EdgePages, EdgesAnswer


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
