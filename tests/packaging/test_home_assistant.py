"""The Home Assistant add-on: its files by the Supervisor's rules as data, and its start with a real host."""

from __future__ import annotations

import http.client
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from microclaw.host.config.load import find_mistakes
from microclaw.host.operations.client import Client

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "packaging/home-assistant"
CONFIG: Final[dict[str, Any]] = yaml.safe_load((FOLDER / "config.yaml").read_text())
RUN: Final[dict[str, Any]] = runpy.run_path(str(FOLDER / "run.py"))
DEADLINE_S: Final = 120
PASSWORD: Final = "correct horse battery"


def test_it_asks_for_no_right_of_the_machine_or_of_home_assistant() -> None:
    asked = {
        "privileged",
        "full_access",
        "docker_api",
        "hassio_api",
        "homeassistant_api",
        "auth_api",
        "host_pid",
        "map",
    }
    assert asked.isdisjoint(CONFIG)


def test_options_become_settings_that_the_host_takes(tmp_path: Path) -> None:
    options = {"openai_base_url": "http://192.168.1.2:11434/v1", "settings": ["mqtt.url=mqtt://core-mosquitto:1883"]}
    environ = RUN["variables"](options, tmp_path)
    assert environ["MICROCLAW_HOST__INGRESS"] == f"172.30.32.1:{CONFIG['ingress_port']}"
    assert environ["MICROCLAW_MQTT__URL"] == "mqtt://core-mosquitto:1883"
    assert environ["OPENAI_BASE_URL"] == options["openai_base_url"]
    assert "ANTHROPIC_API_KEY" not in environ
    assert find_mistakes(environ, tmp_path / "home") == []
    with pytest.raises(SystemExit, match=r"'mqtt url' is not section\.key=value"):
        RUN["variables"]({"settings": ["mqtt url=x"]}, tmp_path)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """run.py as the add-on starts it, but for the folder, the command and the door's address."""
    program = (FOLDER / "run.py").read_text().replace('"172.30.32.1:8099"', '"127.0.0.1:0"')
    program = program.replace('"0.0.0.0:8443"', '"off"')
    program = program.replace('Path("/data")', f"Path({str(tmp_path)!r})")
    program = program.replace('["microclaw"]', f"[{sys.executable!r}, '-m', 'microclaw']")
    (tmp_path / "run.py").write_text(program)
    (tmp_path / "options.json").write_text(json.dumps({"owner_password": PASSWORD, "settings": []}))
    kept = {key: value for key, value in os.environ.items() if not key.endswith(("_API_KEY", "_BASE_URL"))}
    command = [sys.executable, str(tmp_path / "run.py")]
    with subprocess.Popen(command, env=kept, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_it_starts_the_host_sets_the_password_and_stops_it(started: subprocess.Popen[str], tmp_path: Path) -> None:
    watchdog = threading.Timer(DEADLINE_S, started.kill)
    watchdog.start()
    try:
        assert started.stdout is not None
        lines = []
        for line in started.stdout:
            lines.append(line)
            if "the password of owner is changed" in line:
                break
        else:
            pytest.fail("".join(lines))
        host = Client(tmp_path / "home/control.sock")
        assert host.get("/healthz")["ok"] is True
        name, _, port = str(host.get("/v1/status")["http"]).removeprefix("http://").rpartition(":")
        connection = http.client.HTTPConnection(name, int(port), timeout=60)
        body = json.dumps({"name": "owner", "password": PASSWORD})
        connection.request("POST", "/v1/signin/password", body, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
        connection.close()
        started.send_signal(signal.SIGTERM)
        started.stdout.read()
        assert started.wait() == 0
        assert not (tmp_path / "home/control.sock").exists()
    finally:
        watchdog.cancel()
