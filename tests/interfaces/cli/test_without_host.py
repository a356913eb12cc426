"""Commands that need no host, and what the others say without one."""

from __future__ import annotations

import json
import os
import pwd
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.interfaces.cli.conftest import Run, run_in
from tests.stories.conftest import blink

from microclaw.interfaces.cli.main import main


def test_build_writes_a_wasm_file_and_tells_of_it(run: Run, tmp_path: Path) -> None:
    made = tmp_path / "out.wasm"
    ran = run("app", "build", blink(tmp_path, 2), "-o", made, "--json")
    assert (ran.code, ran.json["schema"], ran.json["pins"]) == (0, "microclaw.build/1", [2]), ran.err
    assert made.read_bytes().startswith(b"\0asm")
    assert ran.json["size_bytes"] == made.stat().st_size


FOLLOWS = """#include "microclaw.h"
static int in, out;
static void look(void) { gpio_set(out, gpio_get(in)); }
void on_init(void) { in = gpio_open(1, GPIO_IN); out = gpio_open(2, GPIO_OUT); every(10, look); }
"""


def test_try_sets_inputs_and_refuses_terms_it_does_not_know(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "Knöpfe (2).c"
    source.write_text(FOLLOWS)
    ran = run("run", "--try", source, "--for", "4s", "--set", "1=1@2s", "--set", "ADC 4=3V@1s", "--json")
    assert ran.code == 0, ran.err
    [(at_ms, _, level)] = [edge for edge in ran.json["edges"] if edge[1] == 2]
    assert (level, 1990 <= at_ms <= 2050) == (1, True)
    for words in (["--for", "soon"], ["--set", "one=high"], ["--board", "toaster"]):
        refused = run("run", "--try", source, *words)
        assert (refused.code, "next: " in refused.err) == (1, True)


SENDS = """#include <mqtt_client.h>
void on_init(void) {
    esp_mqtt_client_config_t config = {.broker.address.uri = "mqtt://broker.example.org"};
    esp_mqtt_client_start(esp_mqtt_client_init(&config));
}
"""


def test_try_tells_the_hosts_that_a_program_may_ask_and_what_it_asked(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "sends.c"
    source.write_text(SENDS)
    document = run("run", "--try", source, "--for", "1s", "--json").json
    assert document["network"] == {"hosts": ["broker.example.org:1883"], "ports": []}
    assert document["traffic"][0][1:3] == ["unknown", "broker.example.org:1883"]


def findings(run: Run, *words: str) -> dict[str, Any]:
    """The last finding of `doctor` for each part."""
    return {finding["part"]: finding for finding in run(*words, "doctor", "--json").json["findings"]}


def test_doctor_tells_of_a_damaged_store_and_of_mistakes_of_the_configuration(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "microclaw.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    found = findings(run, "--home", str(home))
    assert "microclaw backup restore" in found["store"]["next"]
    assert f"microclaw --home {home} up" in found["host"]["text"]
    (home / "config.toml").write_text("[agent]\nqueues = 3\n")
    assert findings(run)["config"]["ok"] is False


def test_doctor_tells_whether_sleeping_programs_can_be_built(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert findings(run)["binaryen"]["ok"] is False
    script = tmp_path / "wasm-opt"
    for text, ok in (("echo wasm-opt version 999", True), ("exit 1", False)):
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o700)
        assert findings(run)["binaryen"]["ok"] is ok


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ("[gateway]\nopen = true\n", "gateway"),
        ('[gateway]\nhost = "0.0.0.0"\n', "gateway"),
        ('[voice]\nenabled = true\nwyoming_host = "0.0.0.0"\nwyoming_port = 10300\n', "wyoming"),
    ],
)
def test_doctor_warns_of_what_is_open_without_a_lock(run: Run, tmp_path: Path, config: str, part: str) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "config.toml").write_text(config)
    assert {key: findings(run)[part][key] for key in ("ok", "warns")} == {"ok": True, "warns": True}


class Props(BaseHTTPRequestHandler):
    """A model server that knows llama.cpp's /props alone; its window is 4096, then 32768."""

    def do_GET(self) -> None:
        body = json.dumps({"default_generation_settings": {"n_ctx": self.server.window}}).encode()  # type: ignore[attr-defined]
        self.send_response(200 if self.path == "/props" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_doctor_with_quiet_shows_only_what_is_wrong(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text("[agent]\nturn_s = -1\n")
    all_rows = run("doctor").out
    rows = run("doctor", "-q").out.splitlines()
    assert all_rows.startswith("python")
    assert not [row for row in rows if row.endswith(" ok")]
    assert [row for row in rows if row.startswith("config") and row.endswith("problem")]


def test_a_negative_number_reaches_the_bound_of_its_setting(run: Run) -> None:
    ran = run("config", "set", "agent.turn_s", "-3")
    assert ran.code == 1
    assert "a number of 1 to 86400" in ran.err


def test_doctor_measures_the_window_of_a_model_server_at_home(run: Run) -> None:
    def of_the_model() -> list[dict[str, Any]]:
        return [one for one in run("doctor", "--json").json["findings"] if one["part"] == "model"]

    with ThreadingHTTPServer(("127.0.0.1", 0), Props) as there:
        url = f"http://127.0.0.1:{there.server_port}/v1"
        for key, value in (("model.provider", "openai"), ("model.base_url", url)):
            assert run("config", "set", key, value).code == 0
        threading.Thread(target=there.serve_forever, daemon=True).start()
        for window, ok in ((4096, False), (32768, True)):
            there.window = window  # type: ignore[attr-defined]
            (told,) = [one for one in of_the_model() if "takes" in one["text"]]
            assert (told["ok"], told["next"] is None) == (ok, ok)
        there.shutdown()
    assert [one["ok"] for one in of_the_model()].count(False) == 1  # it does not answer


def test_a_user_id_without_a_name_and_a_home_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody(user_id: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {user_id}")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for words in (["up"], ["doctor"], ["up", "--service", "file"]):
        assert main(words) == 1
        first, step = capsys.readouterr().err.splitlines()
        assert str(os.getuid()) in first
        assert "HOME=" in step


def test_an_entry_is_shown_with_its_values_and_its_source(run: Run) -> None:
    shown = run("app", "search", "--show", "blink", "--set", "pin=13", "--source")
    assert "#define PIN 13\n" in shown.out
    assert "PIN = 13\n" in shown.out
    document = run("--json", "app", "search", "--show", "blink").json
    assert (document["schema"], document["version"]) == ("microclaw.catalog-entry/1", "1.0.0")


def test_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run_in(tmp_path / "home", "up", "--port", str(taken.getsockname()[1])).code == 1
