"""Commands that need no host, and what the others say without one."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(2, GPIO_OUT); gpio_set(led, 1); every(500, tick); }
"""
BROKEN = "void on_init(void) { int x = 1 }\n"


@pytest.fixture
def blink(tmp_path: Path) -> Path:
    path = tmp_path / "blink.c"
    path.write_text(BLINK)
    return path


@pytest.mark.parametrize(
    "words",
    [["status"], ["chat", "hi"], ["device", "list"], ["exec", "x", "gpio.get", "2"], ["logs", "x"], ["app", "list"]],
)
def test_no_host_is_exit_code_3_with_the_way_to_start_one(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert ran.code == 3
    assert ran.err == "error: no host is running here\nnext: microclaw up\n"
    assert ran.out == ""


def test_the_way_to_start_a_host_names_the_home_that_was_given(run: Run, tmp_path: Path) -> None:
    ran = run("status", "--home", str(tmp_path / "h 2"))
    assert ran.code == 3
    assert ran.err.endswith(f"next: microclaw --home '{tmp_path / 'h 2'}' up\n")


def test_json_error_is_one_document(run: Run) -> None:
    ran = run("--json", "status")
    document = json.loads(ran.out)
    assert document["schema"] == "microclaw.error/1"
    assert document["error"]["code"] == "no_host"
    assert document["error"]["next"] == "microclaw up"


@pytest.mark.parametrize(
    "words", [["fly"], ["device"], ["status", "--what"], ["device", "add", "x"], ["try"], ["completion", "tcsh"]]
)
def test_wrong_usage_is_exit_code_2(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_global_options_may_stand_anywhere(run: Run) -> None:
    assert json.loads(run("status", "--json").out) == json.loads(run("--json", "status").out)


def test_version_is_told(run: Run) -> None:
    assert run("--version").out.startswith("microclaw 0.")


def test_help_names_every_command_that_works(run: Run) -> None:
    shown = run("--help").out
    for command in (
        "demo",
        "setup",
        "config",
        "service",
        "schedule",
        "up",
        "chat",
        "status",
        "doctor",
        "virtual",
        "device",
        "exec",
        "logs",
        "repl",
        "run",
        "try",
        "app",
        "flash",
        "watch",
        "voice",
        "firmware",
        "rollout",
        "backup",
        "crash",
    ):
        assert f"\n  {command} " in shown
    assert "\n  login " not in shown


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from microclaw.cli.main import main; main(['--help']);"
        "heavy = {'asyncio', 'fastapi', 'pydantic', 'uvicorn', 'rich', 'wasmtime', 'hassil', 'prompt_toolkit'};"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.rstrip().endswith("HEAVY []")


def test_build_writes_a_wasm_file_and_tells_of_it(run: Run, blink: Path, tmp_path: Path) -> None:
    ran = run("app", "build", str(blink), "-o", str(tmp_path / "out.wasm"), "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert document["schema"] == "microclaw.build/1"
    assert (tmp_path / "out.wasm").read_bytes().startswith(b"\0asm")
    assert document["size_bytes"] == (tmp_path / "out.wasm").stat().st_size
    assert document["pins"] == [2]


def test_broken_source_is_exit_code_1_with_its_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.c").write_text(BROKEN)
    ran = run("app", "build", str(tmp_path / "bad.c"))
    assert ran.code == 1
    assert ran.err.startswith("error: bad.c:1:31: error: expected ';'")
    assert "int x = 1 }\n" in ran.err
    assert not (tmp_path / "bad.wasm").exists()


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"\0asm\1\0\0\0", b"\0asm\x0d\0\1\0"])
def test_file_that_is_no_program_is_refused(run: Run, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "thing.c"
    if content is not None:
        path.write_bytes(content)
    ran = run("app", "build", str(path), "-o", str(tmp_path / "out.wasm"))
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err


def test_try_runs_on_board_time(run: Run, blink: Path) -> None:
    ran = run("try", str(blink), "--for", "1min", "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert (document["ok"], document["ended"]) == (True, "running")
    edges = [t_ms for t_ms, pin, _ in document["edges"] if pin == 2]
    assert len(edges) in (120, 121)
    assert all(490 < after - before < 510 for before, after in pairwise(edges[1:]))
    assert {"log", "error", "peak_heap_bytes", "peak_stack_bytes", "warnings", "schema"} <= set(document)


def test_try_shows_the_pin_track_to_people(run: Run, blink: Path) -> None:
    ran = run("try", str(blink), "--for", "4s")
    assert ran.code == 0, ran.err
    assert "pin 2    " in ran.out
    assert "|~~~" in ran.out


def test_try_sets_inputs(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "button.c"
    source.write_text(
        '#include "microclaw.h"\nstatic int in, out;\n'
        "static void look(void) { gpio_set(out, gpio_get(in)); }\n"
        "void on_init(void) { in = gpio_open(1, GPIO_IN); out = gpio_open(2, GPIO_OUT); every(10, look); }\n"
    )
    ran = run("try", str(source), "--for", "4s", "--set", "1=1@2s", "--json")
    assert ran.code == 0, ran.err
    edges = [[t_ms, level] for t_ms, pin, level in json.loads(ran.out)["edges"] if pin == 2]
    assert [level for _, level in edges] == [1]
    assert 1990 <= edges[0][0] <= 2050


@pytest.mark.parametrize("words", [["--for", "soon"], ["--set", "one=high"], ["--board", "toaster"]])
def test_try_refuses_terms_it_does_not_know(run: Run, blink: Path, words: list[str]) -> None:
    ran = run("try", str(blink), *words)
    assert ran.code == 1
    assert "next: " in ran.err


def test_board_that_is_not_there_is_exit_code_4(run: Run) -> None:
    ran = run("exec", "127.0.0.1:1", "apps.list")
    assert ran.code == 4
    assert "next: " in ran.err


def test_doctor_finds_this_machine_fit_and_hides_keys(run: Run) -> None:
    ran = run("doctor", "--json")
    document = json.loads(ran.out)
    parts = {finding["part"]: finding for finding in document["findings"]}
    assert parts["compiler"]["ok"]
    assert "zig" in parts["compiler"]["text"]
    assert parts["home"]["ok"]


def findings(ran: Any) -> dict[str, Any]:
    return {finding["part"]: finding for finding in json.loads(ran.out)["findings"]}


def test_doctor_tells_where_code_is_run(run: Run) -> None:
    assert "runs in bubblewrap" in findings(run("doctor", "--json"))["code"]["text"]
    assert run("config", "set", "sandbox.backend", "off").code == 0
    off = findings(run("doctor", "--json"))["code"]
    assert off["ok"] is True
    assert "switched off" in off["text"]


def test_doctor_tells_whether_sleeping_programs_can_be_built(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = findings(run("doctor", "--json"))["binaryen"]
    assert (missing["ok"], missing["text"]) == (False, "missing: programs that sleep in main need it")
    assert "apt-get install binaryen" in missing["next"]
    script = tmp_path / "wasm-opt"
    script.write_text("#!/bin/sh\necho wasm-opt version 999\n")
    script.chmod(0o700)
    there = findings(run("doctor", "--json"))["binaryen"]
    assert (there["ok"], there["text"], there["next"]) == (True, "wasm-opt version 999", None)
    script.write_text("#!/bin/sh\nexit 1\n")
    assert findings(run("doctor", "--json"))["binaryen"]["ok"] is False


def test_doctor_tells_whether_the_c_library_is_built(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blink: Path
) -> None:
    monkeypatch.setenv("MICROCLAW_CACHE", str(tmp_path / "cache"))
    before = findings(run("doctor", "--json"))["library"]
    assert (before["ok"], before["text"]) == (True, "C library not built yet: the host builds it when it starts")
    assert run("app", "build", str(blink)).code == 0
    assert findings(run("doctor", "--json"))["library"]["text"] == "C library built"


@pytest.mark.parametrize(("window", "ok"), [(4096, False), (32768, True)])
def test_doctor_measures_the_window_of_a_model_server_at_home(run: Run, window: int, ok: bool) -> None:
    with llama_server(window) as url:
        answer_with(run, url)
        found = json.loads(run("doctor", "--json").out)["findings"]
    (told,) = [one for one in found if one["part"] == "model" and "takes" in one["text"]]
    assert told["ok"] is ok
    assert f"{window:,} tokens" in told["text"]
    assert (told["next"] is None) == ok
    if told["next"]:
        assert told["next"].endswith(f"microclaw config set agent.context_tokens {window}")


def test_doctor_tells_of_a_model_server_that_does_not_answer(run: Run) -> None:
    with llama_server(4096) as url:
        answer_with(run, url)
    found = json.loads(run("doctor", "--json").out)["findings"]
    (told,) = [one for one in found if one["part"] == "model" and not one["ok"]]
    assert "nobody answers" in told["text"]
    assert "OPENAI_BASE_URL" in told["next"]


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


def test_completion_prints_a_script_and_answers_the_shell(run: Run) -> None:
    assert "_MICROCLAW_COMPLETE" in run("completion", "bash").out


def test_chat_without_a_message_cannot_be_json(run: Run) -> None:
    assert run("chat", "--json").code == 2


def test_port_that_is_taken_is_said_with_a_way_out(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = run("up", "--port", str(port))
    assert ran.code == 1
    assert ran.err == f"error: port {port} is taken on 127.0.0.1\nnext: microclaw up --port 0\n"


def test_virtual_board_runs_in_the_foreground_until_it_is_told_to_end(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "microclaw.cli", "--json", "virtual", "--wasmachine", "0", "--serial", "0"]
    with subprocess.Popen([*words, "--name", "bench-1"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        assert (facts["ready"], facts["name"]) == (True, "bench-1")
        asked = subprocess.run(
            [sys.executable, "-m", "microclaw.cli", "--json", "exec", f"127.0.0.1:{facts['wasmachine']}", "apps.list"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert json.loads(asked.stdout)["result"] == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert not Path(facts["control"]).exists()


@contextmanager
def a_board() -> Iterator[str]:
    """The address of a virtual board, without a host."""
    words = [sys.executable, "-m", "microclaw.cli", "--json", "virtual", "--wasmachine", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{json.loads(process.stdout.readline())['wasmachine']}"
        finally:
            process.terminate()


def test_program_goes_to_a_board_at_an_address_and_off_again(run: Run, blink: Path) -> None:
    with a_board() as address:
        done = run("--json", "-d", address, "run", str(blink))
        assert done.code == 0, done.err
        document = json.loads(done.out)
        assert (document["name"], document["device"], document["verified"]) == ("blink", address, True)
        assert document["trial"]["ok"]
        assert document["proof"] == "no expectation given: this is what it did"
        assert "blink" in run("-d", address, "app", "list").out
        again = run("-d", address, "run", str(blink))
        assert again.code == 1
        assert "this command keeps no record" in again.err
        assert "next: replace it: the same with --replace" in again.err
        replaced = run("-d", address, "run", str(blink), "--replace")
        assert replaced.code == 0, replaced.err
        assert "replaces the old one" in " ".join(replaced.out.split())
        assert "no longer lists blink" in run("-d", address, "app", "uninstall", "blink").out
        assert json.loads(run("--json", "-d", address, "app", "list").out)["apps"] == []
        gone = run("-d", address, "app", "uninstall", "blink")
        assert f"next: see what is: microclaw app list -d {address}" in gone.err


def test_program_that_fails_its_trial_does_not_go_to_an_address(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "trap.c"
    path.write_text("void on_init(void) { __builtin_trap(); }\n")
    with a_board() as address:
        refused = run("-d", address, "run", str(path))
        assert refused.code == 1
        assert "it trapped" in refused.err
        assert json.loads(run("--json", "-d", address, "app", "list").out)["apps"] == []


def test_an_address_gets_what_meets_its_expectations_and_is_told_the_proof(
    run: Run, blink: Path, tmp_path: Path
) -> None:
    expect = tmp_path / "blink.expect"
    expect.write_text("pin 2: period 2 s\n", encoding="utf-8")
    with a_board() as address:
        refused = run("-d", address, "run", str(blink), "--expect", str(expect))
        assert refused.code == 1
        assert "expected, line 1: pin 2: period 2 s" in refused.err
        assert json.loads(run("--json", "-d", address, "app", "list").out)["apps"] == []
        forced = run("-d", address, "run", str(blink), "--expect", str(expect), "--force")
        assert "it is installed all the same, as --force was given" in forced.out
        assert "not met; accepted only" in forced.out
        expect.write_text("pin 5: period 1 s\n", encoding="utf-8")
        other = tmp_path / "other.c"
        other.write_text(BLINK.replace("gpio_open(2", "gpio_open(5"))
        met = run("-d", address, "run", str(other), "--expect", str(expect))
        assert met.code == 0, met.err
        assert "met in the trial; accepted only" in met.out
        assert f"blink on {address} was not installed from here: its pins are not known" in " ".join(met.out.split())


def test_no_force_puts_a_program_on_a_pin_that_the_board_forbids(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "flash.c"
    path.write_text(BLINK.replace("gpio_open(2", "gpio_open(2 + (millis() >= 0) * 25"))
    with a_board() as address:
        refused = run("-d", address, "run", str(path), "--force")
        assert refused.code == 1
        assert "pin 27" in refused.err


def test_try_says_what_is_proved(run: Run, blink: Path, tmp_path: Path) -> None:
    expect = tmp_path / "blink.expect"
    expect.write_text("pin 2: period 1 s ± 5 %, duty 50 %\n", encoding="utf-8")
    ran = run("try", str(blink), "--expect", str(expect), "--json")
    said = json.loads(ran.out)
    assert (ran.code, said["proof"]) == (0, "met in the trial")
    assert said["expected"][0]["answer"] == "met in the trial"
    expect.write_text("pin 2: period 2 s\n", encoding="utf-8")
    ran = run("try", str(blink), "--expect", str(expect))
    assert ran.code == 1
    assert "pin 2: period 2 s: not met (period 1 s at 0 s)" in ran.out
    expect.write_text("pin 2: peroid 2 s\n", encoding="utf-8")
    ran = run("try", str(blink), "--expect", str(expect))
    assert ran.code != 0
    assert "line 1, column 8" in ran.err
    assert "no expectation given: this is what it did" in run("try", str(blink), "--for", "2s").out
