"""A program put on a board by bytes, without the host: what the seed's own deployer does."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from tests.stories.conftest import Host, until
from tests.stories.doors import blink, door
from tests.stories.wasmachine_port import CONTENT, CREATED, DELETED, ERROR, INSTALL, PUT, RAW, Port, dialled

from microclaw.apps.device_calls import read_edges


@pytest.fixture(scope="module")
def address(host: Host) -> str:
    return str(next(one for one in host.facts["boards"][0]["transports"] if one.startswith("wasmachine:")))


@pytest.fixture
def port(address: str) -> Iterator[Port]:
    with dialled(address) as found:
        yield found


def module(host: Host, pin: int) -> bytes:
    """A module of the compile service."""
    made = door(host).post("/api/compile-wasm", {"source": blink(pin), "name": "blink", "optimizationLevel": "O3"})
    return base64.b64decode(made.json["wasm"])


def edges(host: Host, pin: int) -> int:
    return sum(row[1] == pin for row in host.client.call(read_edges, device="virtual-1").edges)


def test_a_module_of_the_compile_service_runs_and_goes(host: Host, address: str) -> None:
    wasm = module(host, 2)
    with dialled(address) as port:
        assert port.names() == []
        assert port.install("raw", wasm)[0] == CREATED
        assert port.names() == ["raw"]
    until(lambda: edges(host, 2) >= 4)
    [seen] = host.client.get("/v1/apps")["apps"]
    assert (seen["name"], seen["foreign"]) == ("raw", True)
    with dialled(address) as port:
        assert port.uninstall("raw")[0] == DELETED
        assert port.names() == []
        assert port.uninstall("raw")[0] == ERROR


def test_what_is_no_module_is_refused_and_the_board_goes_on(host: Host, port: Port) -> None:
    assert port.install("bad", b"\0asm\1\0\0\0" + b"\xff" * 40)[0] == ERROR
    assert port.install("bad", b"not wasm at all, but some text")[0] == ERROR
    assert port.ask(2, 1, "/applet?name=nobody")[0] == ERROR
    assert port.names() == []


def test_the_second_of_a_name_is_refused(host: Host, port: Port) -> None:
    wasm = module(host, 4)
    assert port.install("twin", wasm)[0] == CREATED
    assert port.install("twin", wasm)[0] == ERROR
    assert port.names() == ["twin"]
    assert port.uninstall("twin")[0] == DELETED


def test_a_half_frame_outlives_its_connection(host: Host, address: str) -> None:
    """As the firmware has it: what is missing of a frame is waited for in the next connection."""
    wasm = module(host, 5)
    url = "/applet?name=halved&type=wasm&heap=8192&timers=4&wd=60000"
    with dialled(address) as port:
        frame, mid = port.frame(INSTALL, PUT, url, wasm, RAW)
        port.socket.sendall(frame[: len(frame) // 2])
    with dialled(address) as port:
        port.socket.sendall(frame[len(frame) // 2 :])
        assert port.answer(mid)[0] == CREATED
        assert port.names() == ["halved"]
        assert port.uninstall("halved")[0] == DELETED


def test_noise_before_a_frame_is_skipped(port: Port) -> None:
    port.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert port.ask(2, 1, "/applet")[0] == CONTENT
