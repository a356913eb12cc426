"""C programs on a board without a network: lines answer their HTTP and MQTT clients, and ask their pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.virtual.network.conftest import MakeBench, NetBench
from tests.virtual.network.test_http import PERFORM, program

from microclaw.virtual.firmware.app_manager import MAX_PAGE_REQUESTS, PAGE_ANSWER_MS
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire.board_control import Network, Traffic
from microclaw.wire.board_replies import ChangePage
from microclaw.wire.canned_lines import Broker, BrokerMessage, CannedLine, HttpAnswer, PageRequest

MQTT = Path(__file__).with_name("mqtt.c").read_text(encoding="utf-8")
PAGES = r"""
#include <microclaw.h>
#include <wa-inc/request.h>
static void on_page(request_t *request) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nit is on";
    response_t response;
    printf("%.*s %d\n", 12, (const char *)request->payload, request->action);
    make_response_for_request(request, &response);
    set_response(&response, CONTENT_2_05, FMT_APP_RAW_BINARY, answer, sizeof answer - 1);
    api_response_send(&response);
}
int main(void) { api_register_resource_handler("web", on_page); }
"""


@pytest.fixture
def bench(make_bench: MakeBench) -> NetBench:
    return make_bench(VirtualClock(), connect=None)


def answer_with(bench: NetBench, *lines: CannedLine) -> None:
    bench.machine.perform(Network(lines))


def rows(bench: NetBench) -> list[tuple[str, str, int | None, str]]:
    page = bench.machine.perform(Traffic())
    assert isinstance(page, ChangePage)
    return [(row.kind, row.what, row.status, row.text) for row in page.rows]


async def test_an_http_client_is_answered_and_follows_where_it_is_sent(bench: NetBench) -> None:
    answer_with(
        bench,
        HttpAnswer("GET", "api.example.org", "/old", status=302, headers=(("Location", "/x"),)),
        HttpAnswer("GET", "api.example.org", "/x", text='{"t": 21}', delay_ms=300),
    )
    await bench.run(program("http://api.example.org/old"))
    bench.advance(300)
    assert "0 200 9" not in bench.lines()
    bench.advance(100)
    assert {"0 200 9", 'data 9 {"t', "over"} <= set(bench.lines())
    assert [row[:3] for row in rows(bench)] == [
        ("asked", "GET api.example.org/old", 302),
        ("asked", "GET api.example.org/x", 200),
    ]


async def test_an_http_client_meets_refusal_silence_and_an_unknown_host(bench: NetBench) -> None:
    answer_with(
        bench,
        HttpAnswer("GET", "off.example.org", kind="refused"),
        HttpAnswer("GET", "api.example.org", "/x", kind="no answer"),
    )
    more = PERFORM
    for url in ("http://api.example.org/x", "http://other.example.org/"):
        more += f'esp_http_client_set_url(client, "{url}"); printf("then %x\\n", esp_http_client_perform(client));'
    await bench.run(program("http://off.example.org/", more))
    bench.advance(30_000)
    assert "then 7004" not in bench.lines()
    bench.advance(20_000)
    assert [line for line in bench.lines() if line[:4] in ("7002", "then")] == ["7002 0 0", "then 7004", "then 7002"]
    assert [row[:2] for row in rows(bench)] == [
        ("asked", "off.example.org:80"),
        ("asked", "GET api.example.org/x"),
        ("unknown", "other.example.org"),
    ]


async def test_a_program_that_waits_for_a_silent_server_can_be_killed(bench: NetBench) -> None:
    answer_with(bench, HttpAnswer("GET", "api.example.org", "/x", kind="no answer"))
    app = await bench.run(program("http://api.example.org/x"))
    bench.advance(1_000)
    app.interrupt()
    bench.clock.settle()
    assert app.join(5.0)


async def test_an_mqtt_client_connects_publishes_and_gets_messages(bench: NetBench) -> None:
    answer_with(bench, Broker("test.example.org"), BrokerMessage("to/me", "on", at_ms=2_000.0))
    more = """
    printf("kept %d\\n", esp_mqtt_client_publish(client, "from/me", "kept", 0, 1, 0));
    sleep(1);
    printf("sent %d\\n", esp_mqtt_client_publish(client, "from/me", "now", 0, 0, 0));
    sleep(2);
    printf("gone %d\\n", esp_mqtt_client_disconnect(client));
    sleep(1);
    """
    source = MQTT.replace("127.0.0.1:PORT", "test.example.org").replace("CLIENT", "board").replace("MORE", more)
    await bench.run(source)
    bench.advance(5_000)
    lines = [line for line in bench.lines() if line[0] in "egsk"]
    assert lines[:3] == ["early -1 -1", "start 0 again -1", "kept 1"]
    assert "got 'to/me' 'on' 2/2 at 0 qos 0" in lines
    assert {"event 7 MQTT_EVENTS mine", "event 1 MQTT_EVENTS mine", "event 5 MQTT_EVENTS mine"} <= set(lines)
    assert lines[-2:] == ["gone 0", "event 2 MQTT_EVENTS mine"]
    assert [row for row in rows(bench) if row[0] != "listening"] == [
        ("published", "from/me", None, "kept"),
        ("published", "from/me", None, "now"),
        ("received", "to/me", None, "on"),
    ]


async def test_a_client_asks_the_pages_of_a_program(bench: NetBench) -> None:
    answer_with(bench, PageRequest("GET", "/", at_ms=0.0), PageRequest("GET", "/led/on", at_ms=1_000.0))
    bench.advance(1)
    await bench.run(PAGES)
    bench.advance(2_000)
    assert bench.lines() == ["GET /led/on  2"]
    assert rows(bench) == [
        ("closed", "GET :80/", None, "nothing takes connections on port 80"),
        ("answered", "GET :80/led/on", 200, "it is on"),
    ]


# Answers nothing until "answer": then first what was asked last without an answer, then this request.
SILENT_PAGES = r"""
#include <microclaw.h>
#include <wa-inc/request.h>
static uint32_t last_mid;
static void answer(request_t *request, const char *text) {
    response_t response;
    make_response_for_request(request, &response);
    set_response(&response, CONTENT_2_05, FMT_APP_RAW_BINARY, text, (int)strlen(text));
    api_response_send(&response);
}
static void on_page(request_t *request) {
    if (strncmp(request->payload, "answer", 6) != 0) {
        last_mid = request->mid;
        return;
    }
    uint32_t own_mid = request->mid;
    request->mid = last_mid;
    answer(request, "late");
    request->mid = own_mid;
    answer(request, "in time");
}
int main(void) { api_register_resource_handler("web", on_page); }
"""


async def test_requests_without_an_answer_end_and_a_late_answer_reaches_nobody(bench: NetBench) -> None:
    await bench.run(SILENT_PAGES)
    manager = bench.runners.wasm
    late: list[bytes] = []

    def ask_hundred_times() -> int:
        taken_count = 0
        for _ in range(100):
            taken_count += manager.ask_page(b"silent", late.append)
            bench.clock.settle()
        return taken_count

    assert ask_hundred_times() == MAX_PAGE_REQUESTS
    bench.advance(PAGE_ANSWER_MS)
    assert ask_hundred_times() == MAX_PAGE_REQUESTS
    bench.advance(PAGE_ANSWER_MS)
    answers: list[bytes] = []
    assert manager.ask_page(b"answer", answers.append)
    bench.clock.settle()
    assert (answers, late) == ([b"in time"], [])
