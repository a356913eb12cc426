"""`app stop` and `start` over a host's death and a board's boot."""

from __future__ import annotations

from pathlib import Path

from tests.interfaces.cli.conftest import run_here
from tests.stories.conftest import Host, blink, joined_board, running_host, until

PY_BLINK = """from machine import Pin
import time

led = Pin(11, Pin.OUT)
while True:
    led.value(not led.value())
    time.sleep_ms(100)
"""


def app(host: Host, act: str, name: str, device: str = "virtual-1") -> int:
    return run_here(host.home, "app", act, name, "-d", device).code


def test_a_stopped_program_stays_stopped_over_a_kill_of_its_host_and_a_boot_of_its_board(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = tmp_path / "pyblink.py"
    program.write_text(PY_BLINK)
    with running_host(home, "--virtual", "1") as host:
        assert run_here(home, "run", blink(tmp_path, 10), "-d", "virtual-1").code == 0
        assert app(host, "stop", "blink") == 0
        host.process.kill()
    with running_host(home, "--virtual", "1") as host:
        assert host.conditions("virtual-1") == {"blink": "stopped"}
        assert [app(host, act, "blink") for act in ("stop", "start", "start")] == [1, 0, 1]
        assert app(host, "restart", "nothing") == 1
        with joined_board(host, "desk"):
            assert run_here(home, "run", program, "-d", "desk").code == 0
            assert app(host, "stop", "pyblink", "desk") == 0
        with joined_board(host, "desk"):
            until(lambda: run_here(home, "exec", "desk", "device.info").code == 0)
            assert host.conditions("desk") == {"pyblink": "stopped"}
            assert "pyblink" not in run_here(home, "exec", "desk", "apps.list", "--json").out
            assert app(host, "start", "pyblink", "desk") == 0
            assert host.conditions("desk") == {"pyblink": "running"}
