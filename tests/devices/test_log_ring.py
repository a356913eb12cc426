"""The ring of a device's last log lines: cursors, what was overwritten, what never arrived."""

from __future__ import annotations

from microclaw.devices.calls import LogLine
from microclaw.devices.log_ring import MAX_PAGE, MAX_TEXT, LogRing


def _ring(*texts: str, max_lines: int = 10) -> LogRing:
    ring = LogRing(max_lines)
    for text in texts:
        ring.add(LogLine(0.0, "blink", text))
    return ring


def test_a_program_that_floods_pushes_out_its_own_lines_only() -> None:
    ring = _ring("a", "b", max_lines=10)
    for number in range(1_000):
        ring.add(LogLine(0.0, "flood", str(number)))
    page = ring.page(0)
    assert [line.text for line in page.lines if line.app == "blink"] == ["a", "b"]
    assert (len(page.lines), page.dropped) == (10, 992)


def test_a_gap_in_the_devices_count_is_lines_lost_and_a_count_that_begins_again_a_reboot() -> None:
    ring = LogRing()
    for n in (7, 11, 1):
        ring.add(LogLine(0.0, None, str(n)), n=n)
    assert [ring.page(cursor).dropped for cursor in (0, 1, 2)] == [3, 3, 0]


def test_cursor_of_an_earlier_run_starts_at_the_oldest() -> None:
    page = _ring("a").page(500)
    assert ([line.text for line in page.lines], page.dropped, page.cursor) == (["a"], 0, 1)


def test_a_page_and_a_line_are_bounded_and_the_next_goes_on_at_the_cursor() -> None:
    ring = _ring(*map(str, range(MAX_PAGE + 1)), max_lines=MAX_PAGE + 1)
    page = ring.page(0)
    assert len(page.lines) == MAX_PAGE
    assert [line.text for line in ring.page(page.cursor).lines] == [str(MAX_PAGE)]
    assert len(_ring("x" * (MAX_TEXT + 1)).page(0).lines[0].text) == MAX_TEXT
