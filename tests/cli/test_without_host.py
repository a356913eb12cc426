"""Commands that need no host, and what the others say without one."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run
from tests.stories.conftest import blink, running_board


def test_build_writes_a_wasm_file_and_tells_of_it(run: Run, tmp_path: Path) -> None:
    ran = run("app", "build", blink(tmp_path, 2), "-o", str(tmp_path / "out.wasm"), "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert document["schema"] == "microclaw.build/1"
    assert (tmp_path / "out.wasm").read_bytes().startswith(b"\0asm")
    assert document["size_bytes"] == (tmp_path / "out.wasm").stat().st_size
    assert document["pins"] == [2]


def test_try_sets_inputs(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "button.c"
    source.write_text(
        '#include "microclaw.h"\nstatic int in, out;\n'
        "static void look(void) { gpio_set(out, gpio_get(in)); }\n"
        "void on_init(void) { in = gpio_open(1, GPIO_IN); out = gpio_open(2, GPIO_OUT); every(10, look); }\n"
    )
    ran = run("run", "--try", str(source), "--for", "4s", "--set", "1=1@2s", "--json")
    assert ran.code == 0, ran.err
    edges = [[t_ms, level] for t_ms, pin, level in json.loads(ran.out)["edges"] if pin == 2]
    assert [level for _, level in edges] == [1]
    assert 1990 <= edges[0][0] <= 2050


@pytest.mark.parametrize("words", [["--for", "soon"], ["--set", "one=high"], ["--board", "toaster"]])
def test_try_refuses_terms_it_does_not_know(run: Run, tmp_path: Path, words: list[str]) -> None:
    ran = run("run", "--try", blink(tmp_path, 2), *words)
    assert ran.code == 1
    assert "next: " in ran.err


def findings(ran: Any) -> dict[str, Any]:
    return {finding["part"]: finding for finding in json.loads(ran.out)["findings"]}


def test_doctor_tells_of_a_damaged_store(run: Run, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "microclaw.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert "microclaw backup restore" in findings(run("doctor", "--json"))["store"]["next"]


def test_doctor_starts_the_host_of_the_home_that_it_looks_at(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert f"microclaw --home {other} up" in findings(run("--home", str(other), "doctor", "--json"))["host"]["text"]


def test_doctor_tells_whether_sleeping_programs_can_be_built(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = findings(run("doctor", "--json"))["binaryen"]
    assert missing["ok"] is False
    script = tmp_path / "wasm-opt"
    script.write_text("#!/bin/sh\necho wasm-opt version 999\n")
    script.chmod(0o700)
    there = findings(run("doctor", "--json"))["binaryen"]
    assert (there["ok"], there["next"]) == (True, None)
    script.write_text("#!/bin/sh\nexit 1\n")
    assert findings(run("doctor", "--json"))["binaryen"]["ok"] is False


@pytest.mark.parametrize(("window", "ok"), [(4096, False), (32768, True)])
def test_doctor_measures_the_window_of_a_model_server_at_home(run: Run, window: int, ok: bool) -> None:
    with llama_server(window) as url:
        answer_with(run, url)
        found = json.loads(run("doctor", "--json").out)["findings"]
    (told,) = [one for one in found if one["part"] == "model" and "takes" in one["text"]]
    assert told["ok"] is ok
    assert (told["next"] is None) == ok


def test_doctor_tells_of_a_model_server_that_does_not_answer(run: Run) -> None:
    with llama_server(4096) as url:
        answer_with(run, url)
    found = json.loads(run("doctor", "--json").out)["findings"]
    assert [one["ok"] for one in found if one["part"] == "model"].count(False) == 1


def answer_with(run: Run, url: str) -> None:
    for key, value in (("model.provider", "openai"), ("model.base_url", url)):
        assert run("config", "set", key, value).code == 0


@contextmanager
def llama_server(window: int) -> Iterator[str]:
    """A model server that knows llama.cpp's /props alone."""

    class Props(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"default_generation_settings": {"n_ctx": window}}).encode()
            self.send_response(200 if self.path == "/props" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Props) as there:
        thread = threading.Thread(target=there.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{there.server_port}/v1"
        there.shutdown()


def test_port_that_is_taken_is_said_with_a_way_out(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = run("up", "--port", str(port))
    assert ran.code == 1


def test_no_force_puts_a_program_on_a_pin_that_the_board_forbids(run: Run, tmp_path: Path) -> None:
    path = Path(blink(tmp_path, 2, name="flash"))
    path.write_text(path.read_text().replace("gpio_open(2", "gpio_open(2 + (millis() >= 0) * 25"))
    with running_board(tmp_path / "home", "--wasmachine", "0") as board:
        refused = run("-d", f"127.0.0.1:{board['wasmachine']}", "run", str(path), "--force")
        assert refused.code == 1
        assert "pin 27" in refused.err
