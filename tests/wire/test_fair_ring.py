"""A source that floods a shared history pushes out its own records and no other's."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from microclaw.wire.fair_ring import FairRing, drop_of_largest


def source(text: str) -> str:
    return text[0]


def test_a_flood_leaves_the_lines_of_the_others() -> None:
    ring: FairRing[str] = FairRing(10, source)
    for line in ("a1", "b1", *(f"x{n}" for n in range(1_000)), "a2"):
        ring.append(line)
    page = ring.since(0)
    assert page.records == ("a1", "b1", *(f"x{n}" for n in range(993, 1_000)), "a2")
    assert (page.next, page.dropped) == (1_003, 993)
    assert ring.since(page.next).records == ()


def test_the_newest_stays_however_large() -> None:
    ring: FairRing[str] = FairRing(10, source, len)
    for line in ("aaaa", "aaaa", "b" * 50):
        ring.append(line)
    assert (ring.since(0).records, ring.since(0).dropped) == (("b" * 50,), 2)
    ring.append("a")
    assert ring.since(0).records == ("a",)


@given(
    lines=st.lists(st.text("abcd", min_size=1, max_size=6), max_size=60),
    capacity=st.integers(1, 20),
    limit=st.integers(1, 5),
)
def test_pages_put_together_are_the_whole_and_count_what_is_missing(
    lines: list[str], capacity: int, limit: int
) -> None:
    ring: FairRing[str] = FairRing(capacity, source, len)
    for line in lines:
        ring.append(line)
    whole = ring.since(0)
    cursor = 0
    dropped = 0
    read = 0
    for _ in range(len(lines) + 1):
        page = ring.since(cursor, limit)
        assert page.records == tuple(lines[number] for number in page.numbers)
        cursor = page.next
        dropped = dropped + page.dropped
        read = read + len(page.records)
    assert (cursor, dropped, read) == (len(lines), whole.dropped, len(whole.records))
    assert sum(map(len, whole.records)) <= capacity or len(whole.records) == 1


def test_a_full_queue_loses_the_oldest_of_whom_it_has_most() -> None:
    waiting = deque(["a1", *(f"x{n}" for n in range(9))])
    for n in range(9, 300):
        waiting.append(f"x{n}")
        drop_of_largest(waiting, source)
    assert list(waiting) == ["a1", *(f"x{n}" for n in range(291, 300))]
