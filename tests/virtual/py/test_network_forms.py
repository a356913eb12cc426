"""A program that writes a host in a strange way reaches nothing from the virtual board, canned or with `--network`."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.network_forms import FORMS, own_address
from tests.virtual.py.conftest import PyBench

from microclaw.virtual.clock import Clock
from microclaw.virtual.network.board_network import BoardNetwork
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.network.real import RealNetwork
from microclaw.virtual.py.chip import DriverError
from microclaw.virtual.py.sockets import Sockets
from microclaw.wire.canned_lines import HttpAnswer

MOST_HOSTS = 16
PROGRAM = """
async def main(E):
    socket = E.module("socket")
    tries = [(host, PORT) for host in FORMS]
    tries += [("api.example.com", port) for port in (0, -1, 65536, 65616, True, 80.0, "80", None)]
    for host, port in tries:
        for seconds in (1, 0):
            s = socket.socket()
            s.settimeout(seconds)
            try:
                await E.aw(s.connect((host, port)))
                E.print("connected", host, port)
            except OSError as exc:
                if exc.errno == E.module("errno").EINPROGRESS:
                    E.print("begun", host, port)
            s.close()
    E.print("done")
    await E.sleep(1000)
"""


def canned(bench: PyBench) -> BoardNetwork:
    network = CannedNetwork(bench.board.clock)
    network.add([HttpAnswer("GET", host, text="x") for host in FORMS if host])
    network.add([HttpAnswer("GET", "api.example.com", text="x")])
    return network


def real(bench: PyBench) -> BoardNetwork:
    return RealNetwork(bench.board.print_line)


@pytest.mark.parametrize("network", [canned, real])
def test_no_form_of_a_host_leads_to_the_board_even_if_a_record_has_it(
    tmp_path: Path, cache: Path, network: Callable[[PyBench], BoardNetwork]
) -> None:
    bench = PyBench(tmp_path, Clock(), cache=cache)
    bench.board.network = network(bench)
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0)
            port = listener.getsockname()[1]
            for start in range(0, len(FORMS), MOST_HOSTS - 1):
                forms = FORMS[start : start + MOST_HOSTS - 1]
                hosts = [form.lower() for form in forms if 0 < len(form) < 254 and not set(form) & set(": ")]
                name = f"p{start}"
                program = PROGRAM.replace("FORMS", repr(forms)).replace("PORT", str(port if network is real else 80))
                bench.install(name, program, heap=16_384, hosts=[*hosts, "api.example.com"])
                assert bench.wait_for(partial(_is_done, bench, name))
                assert bench.lines(name) == ["done"]
                bench.programs.call("remove", {"name": name})
            with pytest.raises(BlockingIOError):
                listener.accept()
    finally:
        bench.machine.close()


def _is_done(bench: PyBench, name: str) -> bool:
    return "done" in bench.lines(name)


def test_this_computer_is_reached_only_at_ports_that_are_named(bench: PyBench) -> None:
    own = own_address()
    if own is None:
        pytest.skip("this computer has no address but its loopback")
    with socket.create_server((own, 0)) as listener, socket.create_server((own, 0)) as named:
        listener.settimeout(0)
        network = RealNetwork(bench.board.print_line, {named.getsockname()[1]})
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"--local-ports {port}"):
            network.connect(own, port)
        # The program has the reason, too: its console is not the board's.
        connect = Sockets(network, lambda _: None).drivers()["net_connect"]
        with pytest.raises(DriverError, match=f"--local-ports {port}"):
            connect(own, port)
        network.close(network.connect(*named.getsockname()))
        with pytest.raises(BlockingIOError):
            listener.accept()
