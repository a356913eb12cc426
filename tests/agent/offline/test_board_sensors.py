"""Which wired part answers a sentence about a quantity."""

from __future__ import annotations

import pytest

from microclaw.agent.offline.board_sensors import find_sensor
from microclaw.hardware.parts.wiring import parse_wiring

WIRING = parse_wiring("""
[inside]
part = "dht22"
data = 4

[pool]
part = "ds18b20"
data = 5

[outside]
part = "bme280"

[cellar]
part = "bme280"
sda = 8
scl = 9
""")


@pytest.mark.parametrize(
    ("quantity", "kind", "part_id"),
    [
        ("temperature", None, "outside"),
        ("pressure", None, "outside"),
        ("temperature", "ds18b20", "pool"),
        ("humidity", "dht22", "inside"),
    ],
)
def test_the_part_of_that_kind_is_chosen_and_the_boards_own_bus_comes_first(
    quantity: str, kind: str | None, part_id: str
) -> None:
    part = find_sensor(WIRING, quantity, kind)
    assert part is not None
    assert part.id == part_id


def test_without_a_wired_part_that_measures_it_there_is_none() -> None:
    assert find_sensor(WIRING, "voltage") is None
    assert find_sensor(WIRING, "humidity", "ds18b20") is None
