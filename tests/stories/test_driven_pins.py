"""An order for a pin that a running program drives: the program is stopped first, or who insists is told."""

from __future__ import annotations

from pathlib import Path

from tests.stories.conftest import Host, blink


def edges(host: Host) -> int:
    found = host.run("exec", "virtual-1", "edges.read", "--json").json["result"]
    return sum(1 for edge in found["edges"] if edge["pin"] == 10)


def test_a_yes_stops_the_program_that_drives_the_pin_and_undo_starts_it(host: Host, tmp_path: Path) -> None:
    assert host.run("run", blink(tmp_path, 10), "-d", "virtual-1", "-y").code == 0
    refused = host.run("exec", "virtual-1", "gpio.set", "10", "0", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "pin_claimed")
    forced = host.run("exec", "--force", "virtual-1", "gpio.set", "10", "0", "--json")
    assert forced.code == 0
    assert forced.json["warning"]
    assert host.conditions("virtual-1") == {"blink": "running"}

    done = host.run("chat", "--json", "--yes", "turn off pin 10")
    assert (done.code, done.json["actions"][-1]["outcome"]) == (0, "done")
    assert host.conditions("virtual-1") == {"blink": "stopped"}
    assert host.level("virtual-1", 10) == 0
    before = edges(host)
    assert before > 0
    assert host.level("virtual-1", 10) == 0
    assert edges(host) == before
    assert host.run("app", "undo").code == 0
    assert host.conditions("virtual-1") == {"blink": "running"}


def test_a_correction_to_a_driven_pin_stops_the_program_too(host: Host, tmp_path: Path) -> None:
    assert host.run("run", blink(tmp_path, 10), "-d", "virtual-1", "-y").code == 0
    assert host.run("chat", "--json", "--session", "c", "--yes", "turn on pin 5").code == 0
    meant = host.run("chat", "--json", "--session", "c", "--yes", "i meant pin 10")
    assert (meant.code, meant.json["actions"][-1]["outcome"]) == (0, "done")
    assert host.conditions("virtual-1") == {"blink": "stopped"}
    assert host.level("virtual-1", 10) == 1
