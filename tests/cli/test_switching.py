"""`app stop` and `start` over a host's death and a board's boot."""

from __future__ import annotations

from pathlib import Path

from tests.stories.conftest import blink, joined_board, running_host, until

PY_BLINK = """from machine import Pin
import time

led = Pin(10, Pin.OUT)
while True:
    led.value(not led.value())
    time.sleep_ms(100)
"""


def test_a_stopped_program_stays_stopped_when_the_host_is_killed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_host(home, "--virtual", "1") as host:
        assert host.run("run", blink(tmp_path, 10), "-d", "virtual-1").code == 0
        assert host.run("app", "stop", "blink").code == 0
        host.process.kill()
    with running_host(home, "--virtual", "1") as host:
        assert host.conditions("virtual-1") == {"blink": "stopped"}
        assert host.run("app", "stop", "blink").code == 1
        started = host.run("app", "start", "blink")
        assert started.code == 0, started.err
        assert host.run("app", "start", "blink").code == 1
        assert host.run("app", "restart", "nothing").code == 1


def test_a_board_on_the_link_does_not_start_it_at_its_next_boot(tmp_path: Path) -> None:
    (tmp_path / "pyblink.py").write_text(PY_BLINK)
    with running_host(tmp_path / "home") as host:
        with joined_board(host, "desk"):
            ran = host.run("run", str(tmp_path / "pyblink.py"), "-d", "desk")
            assert ran.code == 0, ran.out + ran.err
            assert host.run("app", "stop", "pyblink", "-d", "desk").code == 0
        with joined_board(host, "desk"):
            until(lambda: host.run("exec", "desk", "device.info").code == 0)
            assert host.conditions("desk") == {"pyblink": "stopped"}
            assert "pyblink" not in host.run("exec", "desk", "apps.list", "--json").out
            started = host.run("app", "start", "pyblink", "-d", "desk")
            assert started.code == 0, started.out + started.err
            assert host.conditions("desk") == {"pyblink": "running"}
