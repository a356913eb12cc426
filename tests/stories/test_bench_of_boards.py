"""The bench of boards that are no virtual board of the host: what is counted, ordered, from the trial, or not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.stories.conftest import Host, blink, joined_board, running_board, until

STEPPER = """
import machine, time
coils = [machine.Pin(pin, machine.Pin.OUT) for pin in (15, 16, 17, 18)]
for step in range(6):
    for number, coil in enumerate(coils):
        coil.value(number == step % 4)
    time.sleep_ms(300)
while True:
    time.sleep(1)
"""
LEAVING = (
    STEPPER
    + """
    if b"trial" not in machine.unique_id():
        time.sleep(2)
        raise SystemExit
"""
)
MOTOR = "motor=stepper_uln2003 in1=15 in2=16 in3=17 in4=18"
LINES = ("lamp=led pin=5", "dim=led pin=6", "beat=led pin=10", "btn=button pin=7", "oled=ssd1306", MOTOR)


def wire(host: Host, device: str, *lines: str) -> None:
    words = []
    for line in lines:
        words += ["--add", line]
    ran = host.run("--json", "device", "wiring", device, *words)
    assert ran.code == 0, ran.err


def order(host: Host, device: str, *words: str) -> None:
    ran = host.run("exec", device, *words)
    assert ran.code == 0, ran.err


def bench_of(host: Host, device: str) -> tuple[dict[str, Any], dict[str, Any], dict[int, Any]]:
    """The bench, its parts by their ids and its pins by their numbers."""
    found = host.client.get(f"/v1/devices/{device}/bench")
    parts = {part["id"]: part for part in found["parts"]}
    pins = {pin["gpio"]: pin for pin in found["pins"]}
    return found, parts, pins


def known(part: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return part["source"], part["state"]


def test_a_board_that_counts_edges(host: Host, tmp_path: Path) -> None:
    with joined_board(host, "desk") as desk:
        wire(host, desk, *LINES)
        found, parts, _ = bench_of(host, desk)
        assert (found["virtual"], found["hands"], found["fault"]) == (False, False, None)
        assert found["no_hands"]
        for part_id, state in (("lamp", {"brightness": None}), ("btn", {"pressed": None}), ("oled", {})):
            assert known(parts[part_id]) == ("not read", state)
        assert parts["oled"]["screen"] is None

        order(host, desk, "gpio.set", "5", "1")
        order(host, desk, "pwm.set", "6", "51")
        _, parts, pins = bench_of(host, desk)
        assert known(parts["lamp"]) == ("counted", {"brightness": 100.0})
        assert known(parts["dim"]) == ("ordered", {"brightness": 20.0})
        assert parts["dim"]["at_ms"] > 0
        assert (pins[6]["duty"], pins[6]["source"]) == (51, "ordered")

        assert host.run("run", blink(tmp_path, 10), "-d", desk, "-y").code == 0
        levels = set[float]()

        def has_blinked() -> bool:
            _, parts, pins = bench_of(host, desk)
            assert (parts["beat"]["source"], pins[10]["program"]) == ("counted", "blink")
            levels.add(parts["beat"]["state"]["brightness"])
            return levels == {0.0, 100.0}

        until(has_blinked)
        events = host.client.events(["alarm"], bench=[desk])
        seen = set[float]()
        is_first = True
        for event in events:
            if event.kind != "bench":
                continue
            assert event.data["begins"] is is_first
            is_first = False
            beat = event.data["parts"].get("beat")
            if beat is not None:
                seen.add(beat["state"]["brightness"])
            if seen == {0.0, 100.0}:
                break
        events.close()
        motor = tmp_path / "motor.py"
        motor.write_text(STEPPER)
        assert host.run("run", str(motor), "-d", desk, "-y").code == 0
        _, parts, _ = bench_of(host, desk)
        motor_source, motor_state = known(parts["motor"])
        assert (motor_source, motor_state["steps"]) == ("trial", 5)
        assert parts["motor"]["at_ms"] > 0

        # It exits on the board, and did not in its trial: the motor is not where the trial left it.
        motor.write_text(LEAVING)
        ran = host.run("run", str(motor), "-d", desk, "-y")
        assert ran.code == 0, ran.err
        until(lambda: bench_of(host, desk)[1]["motor"]["source"] == "not read")

        table = host.run("device", "bench", desk)
        assert table.code == 0
        assert "brightness 20 %" in table.out

    until(lambda: bench_of(host, "desk")[0]["fault"])
    _, parts, pins = bench_of(host, "desk")
    assert {part["source"] for part in parts.values()} == {"not read"}
    assert {pin["level"] for pin in pins.values()} == {None}


def test_a_stock_board_shows_orders_and_the_trial_and_nothing_else(host: Host, tmp_path: Path) -> None:
    with running_board(host.home, "--name", "stock", "--wasmachine", "0", "--serial", "none") as facts:
        address = f"127.0.0.1:{facts['wasmachine']}"
        ran = host.run("device", "add", "stock", "--wasmachine", address, "--board", "virtual")
        assert ran.code == 0, ran.err
        wire(host, "stock", "lamp=led pin=5", "beat=led pin=10")
        order(host, "stock", "gpio.set", "5", "1")
        assert host.run("run", blink(tmp_path, 10), "-d", "stock", "-y").code == 0
        found, parts, pins = bench_of(host, "stock")
        assert (found["now_ms"], found["fault"]) == (None, None)
        assert known(parts["lamp"]) == ("ordered", {"brightness": 100.0})
        assert known(parts["beat"]) == ("not read", {"brightness": None})
        assert (pins[10]["level"], pins[10]["program"]) == (None, "blink")
