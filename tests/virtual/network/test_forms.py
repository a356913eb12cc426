"""A C program that writes a host in a strange way reaches nothing from the virtual board, also with `--network`."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from tests.network_forms import EVERYBODY, FORMS, LOOPBACK, own_address
from tests.virtual.network import test_http, test_mqtt
from tests.virtual.network.conftest import MakeBench, to_this_computer

from microclaw.virtual.network.reach import Reach
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire.board_control import Network
from microclaw.wire.canned_lines import HttpAnswer

URL_FORMS = (*LOOPBACK, *EVERYBODY, "api.example.com@127.0.0.1", "127.0.0.1#api.example.com", "127.0.0.1%2f")
PROGRAM = """
#include <esp_http_client.h>
#include <stdio.h>
static const char *hosts[] = {HOSTS};
int main(void) {
    for (int i = 0; i < COUNT; i++) {
        char url[200];
        snprintf(url, sizeof url, "http://%s:%d/x", hosts[i], PORT);
        esp_http_client_config_t config = {.url = url, .timeout_ms = 1000};
        esp_http_client_handle_t client = esp_http_client_init(&config);
        if (client == NULL) continue;
        if (esp_http_client_perform(client) == ESP_OK) printf("answered %s\\n", url);
        esp_http_client_cleanup(client);
    }
    printf("over\\n");
}
"""


def program(port: int) -> str:
    hosts = ", ".join(f'"{form}"' for form in URL_FORMS)
    return PROGRAM.replace("HOSTS", hosts).replace("COUNT", str(len(URL_FORMS))).replace("PORT", str(port))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server on the loopback that nobody may reach."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(0)
        yield made
        with pytest.raises(BlockingIOError):
            made.accept()


async def test_no_form_of_a_host_leads_to_this_computer(make_bench: MakeBench, listener: socket.socket) -> None:
    bench = make_bench(connect=Reach().connect)
    await bench.run(program(listener.getsockname()[1]))
    bench.wait_line("over")
    assert bench.lines() == ["over"]
    bench.wait_line("no connection to localhost:")


async def test_no_broker_is_on_this_computer(make_bench: MakeBench, listener: socket.socket) -> None:
    bench = make_bench(connect=Reach().connect)
    await bench.run(test_mqtt.program(listener.getsockname()[1]))
    bench.wait_line("the board itself; attempt 1")
    bench.wait_line("attempt 2")


async def test_no_redirection_leads_to_this_computer(make_bench: MakeBench, listener: socket.socket, web: str) -> None:
    web_port = int(web.rpartition(":")[2])

    def connect(host: str, port: int, timeout_s: float) -> socket.socket:
        if port == web_port:
            return to_this_computer(host, port, timeout_s)
        return Reach().connect(host, port, timeout_s)

    bench = make_bench(connect=connect)
    await bench.run(test_http.program(f"{web}/to/127.0.0.1:{listener.getsockname()[1]}"))
    bench.wait_line("over")
    assert "7002 0 0" in bench.lines()


def test_this_computer_is_reached_only_at_ports_that_are_named() -> None:
    own = own_address()
    if own is None:
        pytest.skip("this computer has no address but its loopback")
    with socket.create_server((own, 0)) as listener, socket.create_server((own, 0)) as named:
        listener.settimeout(0)
        reach = Reach({named.getsockname()[1]})
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"--local-ports {port}"):
            reach.connect(own, port, 1)
        reach.connect(own, named.getsockname()[1], 1).close()
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_host_passes_the_rules(form: str) -> None:
    with pytest.raises(OSError, match=r"board itself|broadcast|neither|no name"):
        Reach().connect(form, 80, 1)


@pytest.mark.parametrize("form", ["²7.0.0.1", "1" * 5000, "1" * 5000 + ".0.0.1", ".".join(["a" * 64, "com"])])
def test_what_only_this_computers_python_reads_as_a_number_or_a_name_is_refused(form: str) -> None:
    with pytest.raises(OSError, match=r"neither|no name"):
        Reach().connect(form, 80, 1)


async def test_no_form_of_a_host_leads_to_a_line_that_a_record_has(make_bench: MakeBench) -> None:
    bench = make_bench(VirtualClock(), connect=None)
    bench.machine.perform(Network(tuple(HttpAnswer("GET", form, "/x", text="x") for form in (*LOOPBACK, *EVERYBODY))))
    await bench.run(program(80))
    bench.advance(60_000)
    assert bench.lines() == ["over"]
