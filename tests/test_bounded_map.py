"""A map with a limit never grows beyond it, and keeps what was set last."""

from __future__ import annotations

from microclaw.bounded_map import BoundedMap


def test_what_was_set_longest_ago_gives_way() -> None:
    numbers: BoundedMap[str, int] = BoundedMap(2)
    numbers["first"] = 1
    numbers["second"] = 2
    numbers["first"] = 3
    numbers["third"] = 4
    assert dict(numbers) == {"first": 3, "third": 4}
