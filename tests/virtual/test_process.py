"""`python -m microclaw.virtual` as others start it: its ready line, its ports, its end, and the captured exchanges."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.virtual.conftest import CASES, TIMEOUT_S, BoardProcessUnderTest, Link, StartProcess, run_board
from wasmtime import wat2wasm

from microclaw.wire import board_control as control
from microclaw.wire.wasmachine.frame import MessageType, encode_frame
from microclaw.wire.wasmachine.request import (
    RequestAction,
    Response,
    WasmachineRequest,
    install_request,
    query_request,
    uninstall_request,
)

QUERY = encode_frame(MessageType.REQUEST, query_request(7).encode())
APP_EVENT = "events pushed by the app (type 2, own mid)"


def query(link: Link, mid: int = 9) -> Response:
    return Response.decode(link.request(query_request(mid)).payload)


def status(link: Link, request: WasmachineRequest, frame_type: MessageType = MessageType.REQUEST) -> int:
    return Response.decode(link.request(request, frame_type).payload).status


@pytest.mark.parametrize(("generation", "step"), [("old", 0), ("new", 1)], ids=["whole", "byte by byte"])
def test_captured_exchanges_are_repeated(start_process: StartProcess, generation: str, step: int) -> None:
    board = start_process("--firmware", f"attributes={generation}", "--serial", "none")
    link = board.link()
    link.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for case in CASES:
        if case.runtime != generation:
            continue
        for at in range(0, len(case.to_device or b""), step or 1_000_000):
            link.send((case.to_device or b"")[at : at + (step or 1_000_000)])
        for wanted in case.from_device:
            frame = link.frame()
            while case.to_device is not None and frame.type != MessageType.RESPONSE:
                frame = link.frame()
            got = encode_frame(frame.type, frame.payload)
            if case.name == APP_EVENT:
                assert _without_count(got) == _without_count(wanted)
            elif case.name.startswith("request to an app") and frame.payload[1] == 69:
                assert got[:-4] == wanted[:-4], case.name  # then the app's event counter: time has passed
            else:
                assert got == wanted, case.name


def _without_count(frame: bytes) -> bytes:
    """echo.c numbers its events: as mid, and as the attribute at the end."""
    assert frame[12:16] == frame[-4:][::-1]
    return frame[:12] + frame[16:-4]


SPINNING = '(module (func (export "on_init") (loop br 0)))'


def test_uninstall_of_a_spinning_app_hangs_the_board_until_its_power_is_cut(start_process: StartProcess) -> None:
    board = start_process("--serial", "none")
    link = board.link()
    assert status(link, install_request(1, "spin", bytes(wat2wasm(SPINNING))), MessageType.INSTALL) == 65
    link.send(encode_frame(MessageType.REQUEST, uninstall_request(2, "spin").encode()) + QUERY)
    request = WasmachineRequest(RequestAction.GET, "/app/nobody/x", 3)
    assert Response.decode(link.request(request).payload).mid == 3  # requests to apps still pass, nothing else came
    board.control().ask(control.Power("reset"))
    assert board.control().ask(control.Apps()).apps == ()
    second = Link(board.ready["wasmachine"])
    second.socket.settimeout(0.2)
    while True:  # the first bytes after a boot vanish
        second.send(QUERY)
        try:
            assert second.frame().type == MessageType.RESPONSE
            break
        except TimeoutError:
            continue
    second.close()


def is_cut(board: BoardProcessUnderTest, data: bytes) -> bool:
    """True if the board cuts the connection instead of answering."""
    try:
        with closing(Link(board.ready["wasmachine"])) as link:
            link.send(data)
            link.frame()
    except ConnectionError:
        return True
    return False


def test_port_has_one_client_at_a_time_and_survives_garbage_faults_and_power_cuts(start_process: StartProcess) -> None:
    board = start_process()
    at_rest_kb = rss_kb(board.process.pid)
    rng = random.Random(5)
    for port in (board.ready["wasmachine"], board.ready["serial"]):
        for _ in range(3):  # there is a second of rest between two clients of the first
            with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as noise:
                data = rng.randbytes(rng.randrange(20_000)).replace(b"\x12\x34", b"\x12\x35")
                claim = b"\x12\x34" + rng.choice([b"\0\x02", b"\0\x04", b"\xff\xff"]) + (2**31).to_bytes(4, "big")
                noise.sendall(data + claim + data)
    first = board.link()
    second = board.link()
    assert query(first).status == 69
    assert rss_kb(board.process.pid) < at_rest_kb + 16_000
    second.send(QUERY)
    second.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        second.frame()
    first.close()
    second.socket.settimeout(TIMEOUT_S)
    assert second.frame().type == MessageType.RESPONSE
    second.close()
    bench = board.control()
    bench.ask(control.Fault("mute", 1))
    with closing(board.link()) as link:
        link.send(QUERY)
        assert Response.decode(link.request(query_request(8)).payload).mid == 8
    bench.ask(control.Fault("cut", 1, after_bytes=20))
    assert is_cut(board, QUERY)
    with closing(board.link()) as link:  # 20 of 34 bytes came through: the rest of that frame is missing still
        link.send(QUERY[20:])
        assert query(link).status == 69
    bench.ask(control.Power("cut"))
    assert is_cut(board, QUERY)
    bench.ask(control.Power("on"))
    with board.serial() as line, line.makefile("rb") as lines:
        assert json.loads(lines.readline())["boot"] == 2


def rss_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.split("VmRSS:")[1].split()[0])


def test_signal_ends_it_while_apps_spin(start_process: StartProcess) -> None:
    board = start_process("--serial", "none")
    link = board.link()
    for name in ("a", "b", "c"):
        assert status(link, install_request(1, name, bytes(wat2wasm(SPINNING))), MessageType.INSTALL) == 65
    board.process.send_signal(signal.SIGINT)
    assert board.process.wait(TIMEOUT_S) == 0
    assert not Path(board.ready["control"]).parent.exists()


def test_board_ends_with_the_process_that_started_it() -> None:
    script = (
        "import subprocess, sys\n"
        "command = [sys.executable, '-m', 'microclaw.virtual', '--wasmachine', '0', '--die-with-parent']\n"
        "child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        ready = json.loads(parent.stdout.readline())
        with socket.create_connection(("127.0.0.1", ready["wasmachine"]), TIMEOUT_S) as link:
            link.sendall(QUERY)
            assert link.recv(8)
            parent.kill()
            while link.recv(4_096):
                pass


@pytest.mark.parametrize("taken", ["control", "flash"])
def test_socket_and_flash_belong_to_one_board_and_are_taken_over_from_a_dead_one(
    start_process: StartProcess, tmp_path: Path, taken: str
) -> None:
    options = ("--serial", "none", f"--{taken}", str(tmp_path / "taken"))
    first = start_process(*options)
    run = run_board("--wasmachine", "0", *options)
    assert (run.returncode, run.stdout) == (1, "")
    assert [line.split(":")[0] for line in run.stderr.splitlines()] == ["error", "next"]
    assert first.control().ask(control.Info()).pid == first.process.pid
    first.process.kill()
    first.process.wait(TIMEOUT_S)
    second = start_process(*options)
    assert second.control().ask(control.Info()).pid == second.process.pid
