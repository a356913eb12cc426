"""Programs on the network, tried: lines answer them, nothing is sent, and a host without a line is untried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.programs.conftest import tried

from microclaw.errors import BuildError, ConfigError
from microclaw.network_use import NetworkUse
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.network_events import judged_text, unnamed_hosts
from microclaw.programs.proof.trial_network import _batches
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire.board_control import MAX_LINE_BYTES, Network, encode_request
from microclaw.wire.board_replies import TrafficRow
from microclaw.wire.canned_lines import PageRequest, request_text

ASKS = r"""
#include <microclaw.h>
#include <esp_http_client.h>
static esp_err_t on_event(esp_http_client_event_t *e) {
    if (e->event_id == HTTP_EVENT_ON_DATA) printf("got %.*s\n", e->data_len, (char *)e->data);
    return ESP_OK;
}
int main(void) {
    esp_http_client_config_t config = {.url = "http://api.example.org/x", .event_handler = on_event};
    for (;;) {
        esp_http_client_handle_t client = esp_http_client_init(&config);
        int error = esp_http_client_perform(client);
        if (error) printf("error %x\n", error);
        esp_http_client_cleanup(client);
        delay(2000);
    }
}
"""
CHECKS = r"""
#include <microclaw.h>
#include <esp_http_client.h>
#include <esp_err.h>
int main(void) {
    esp_http_client_config_t config = {.url = "http://api.example.org/x"};
    ESP_ERROR_CHECK(esp_http_client_perform(esp_http_client_init(&config)));
}
"""
MADE = r"""int main(void) {
    static volatile int number = 7;
    char address[40];
    snprintf(address, sizeof address, "http://192.168.%d.20/x", number);
"""
TELLS = r"""
#include <microclaw.h>
#include <mqtt_client.h>
static esp_mqtt_client_handle_t client;
static int led;
static void on_event(void *arg, esp_event_base_t base, int32_t id, void *data) {
    esp_mqtt_event_handle_t e = data;
    if (id == MQTT_EVENT_CONNECTED) esp_mqtt_client_subscribe(client, "home/lamp", 0);
    if (id == MQTT_EVENT_DATA) gpio_set(led, e->data_len == 2);
}
int main(void) {
    esp_mqtt_client_config_t config = {.broker.address.uri = "mqtt://test.example.org"};
    led = gpio_open(2, GPIO_OUT);
    client = esp_mqtt_client_init(&config);
    esp_mqtt_client_register_event(client, MQTT_EVENT_ANY, on_event, 0);
    esp_mqtt_client_start(client);
    for (int n = 0;; n++) {
        char text[16];
        delay(1000);
        snprintf(text, sizeof text, "n=%d", n);
        esp_mqtt_client_publish(client, "home/count", text, 0, 0, 0);
    }
}
"""
SERVES = r"""
#include <microclaw.h>
#include <string.h>
#include <wa-inc/request.h>
static int led, on;
static void on_page(request_t *request) {
    static char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<h1>the lamp is on </h1>";
    response_t response;
    on = strncmp(request->payload, "GET /led/on", 11) == 0;
    gpio_set(led, on);
    memcpy(strstr(answer, " is ") + 4, on ? "on " : "off", 3);
    make_response_for_request(request, &response);
    set_response(&response, CONTENT_2_05, FMT_APP_RAW_BINARY, answer, sizeof answer - 1);
    api_response_send(&response);
}
int main(void) {
    led = gpio_open(2, GPIO_OUT);
    api_register_resource_handler("web", on_page);
}
"""


async def test_a_client_is_answered_by_its_line(build_cache: Path) -> None:
    expect = """
http GET api.example.org/x -> 500
http GET api.example.org/x -> 200 {"t": 21} after 300 ms
log ~ "got .*21.*" within 4 s
http GET api.example.org/x ~ "" every 2.2 s +- 10 %
"""
    trial = await tried(ASKS, build_cache, expect)
    assert (trial.ok, trial.proof) == (True, "met in the trial")
    assert trial.first_input_ms is not None
    assert "asked GET api.example.org/x" in trial.summary()


async def test_a_host_without_a_line_is_untried_by_its_name(build_cache: Path) -> None:
    trial = await tried(ASKS, build_cache)
    assert (trial.ok, trial.proof) == (True, "untried: no line answers api.example.org")
    assert any("http GET HOST/PATH -> 200 TEXT" in warning for warning in trial.warnings)
    with_line = await tried(ASKS, build_cache, 'log ~ "got .*"')
    assert [result.trial for result in with_line.expected] == ["untried"]
    other_path = await tried(ASKS, build_cache, 'http GET api.example.org/y -> 200\nlog ~ "21"')
    assert "GET api.example.org/x" in other_path.expected[0].found
    ended = await tried(CHECKS, build_cache)
    assert (ended.ok, ended.proof) == (True, "untried: no line answers api.example.org")
    ended_with_line = await tried(CHECKS, build_cache, 'log ~ "got .*"')
    assert ended_with_line.proof == ended.proof
    refused = await tried(CHECKS, build_cache, "http GET api.example.org/x -> refused")
    assert not refused.ok


async def test_hosts_that_are_made_at_run_time_are_named_or_refused(build_cache: Path) -> None:
    """Of a C program: firmware for them holds nothing, so the trial tells which hosts it asked besides."""
    made = ASKS.replace('.url = "http://api.example.org/x"', ".url = address").replace("int main(void) {", MADE)
    with pytest.raises(BuildError) as caught:
        await tried(made, build_cache)
    found = caught.value.diagnostics[0]
    assert found.message == "the hosts that this program talks to are not in its text"
    assert "--hosts" in (found.hint or "")
    trial = await tried(made, build_cache, hosts=("192.168.7.20:80",))
    assert not any("does not name" in warning for warning in trial.warnings)
    trial = await tried(made, build_cache, hosts=("log.home",))
    assert any("does not name: 192.168.7.20;" in warning for warning in trial.warnings)


async def test_a_program_that_talks_to_its_own_board_is_told_so(build_cache: Path) -> None:
    for host in ("127.0.0.1", "localhost"):
        source = ASKS.replace("api.example.org", host)
        with pytest.raises(BuildError) as caught:
            await tried(source, build_cache)
        assert "the board itself" in caught.value.diagnostics[0].message
        trial = await tried(source, build_cache, hosts=("api.example.org:80",))
        assert (trial.ok, trial.proof) == (
            True,
            f"untried: {host}:80 is the board itself, which no program may talk to",
        )
        assert not any("--hosts" in warning or "http GET" in warning for warning in trial.warnings)


async def test_an_mqtt_client_gets_messages_and_is_seen_to_publish(build_cache: Path) -> None:
    expect = """
mqtt broker test.example.org
at 3 s, 5 s mqtt home/lamp "on"
at 4 s mqtt home/lamp "off"
pin 2: rises at 3 s, 5 s
mqtt home/count every 1 s ~ "n=\\d+"
mqtt home/count never ~ "n=x"
"""
    trial = await tried(TELLS, build_cache, expect)
    assert trial.proof == "met in the trial"
    assert "got home/lamp 3 times" in trial.summary()


async def test_an_mqtt_client_connects_again_to_a_broker_that_was_away(build_cache: Path) -> None:
    expect = """
at 3.5 s mqtt broker test.example.org away for 1 min
at 3 s, 50 s, 75 s mqtt home/lamp "on"
at 2 s, 70 s mqtt home/lamp "off"
pin 2: rises at 3 s, 75 s
mqtt home/count never ~ ".*" from 3.6 s until 1 min 3 s
mqtt home/count every 1 s ~ ".*" from 1 min 15 s until 1 min 20 s
"""
    trial = await tried(TELLS, build_cache, expect)
    assert trial.proof == "met in the trial"
    assert "asked test.example.org:1883" in trial.summary()


async def test_a_programs_own_server_is_asked_and_its_answer_is_judged(build_cache: Path) -> None:
    expect = """
at 2 s http GET :80/led/on -> 200 ~ "is on"
at 3 s http GET /
at 4 s http POST :80/led "on=1" -> ~ "off"
pin 2: rises at 2 s
"""
    trial = await tried(SERVES, build_cache, expect)
    assert trial.proof == "met in the trial"
    assert "GET :80/led/on answered: 200 <h1>the lamp is on </h1>" in trial.summary()
    wrong = await tried(SERVES, build_cache, "at 2 s http GET :80/ -> 404")
    assert wrong.proof == "not met"
    assert "it answered 200" in wrong.expected[0].found
    closed = await tried(ASKS, build_cache, "http GET api.example.org/x -> 200\nat 2 s http GET :80/ -> 200")
    assert [result.found for result in closed.expected] == ["nothing takes connections on port 80"]
    assert "GET :80/: nothing takes connections on port 80" in closed.summary()


def answered_row(answer: str) -> TrafficRow:
    """Return what the board notes of these bytes of a program's own server."""

    def answer_page(_request: bytes, on_answer: Callable[[bytes], None]) -> bool:
        on_answer(answer.encode())
        return True

    network = CannedNetwork(VirtualClock())
    network.ask_app = answer_page
    network.add([PageRequest("GET", "/")])
    (row,) = network.traffic().records
    return row


def test_a_wrong_answer_is_shown_up_to_what_may_be_wrong_in_it() -> None:
    page = f"<html>{'x' * 200}<b>off</b></html>"
    texts = {page: page, "y" * 900: f"{'y' * 500}...", "": ""}
    for text, shown in texts.items():
        row = answered_row(f"HTTP/1.1 404 Not Found\r\n\r\n{text}")
        assert judged_text(row, is_right=False) == f"it answered 404 {shown}".rstrip()
        assert len(judged_text(row, is_right=True)) < 90
    reasons = {"": "it sent nothing", "hello\n": "it begins with 'hello', not with HTTP/1.1 and a status"}
    for text, reason in reasons.items():
        assert judged_text(answered_row(text), is_right=False) == f"it answered no whole HTTP: {reason}"


def test_only_hosts_that_its_text_does_not_name_are_warned_of() -> None:
    network = NetworkUse(("api.example.org:443", "log.home"))
    whats = [
        request_text("GET", "api.example.org", 443, "/x:y"),
        request_text("POST", "log.home", 8080, "/"),
        "API.example.org",
        "Log.Home:1883",
    ]
    rows = [TrafficRow(0.0, "unknown", what, None, "") for what in whats]
    assert unnamed_hosts(rows, network) == ()
    rows.append(TrafficRow(0.0, "asked", request_text("GET", "other.example.org", 443, "/"), 200, ""))
    (warning,) = unnamed_hosts(rows, network)
    assert "does not name: other.example.org;" in warning


def test_many_long_lines_fit_into_the_requests_of_the_control_socket() -> None:
    text = "é" * 120
    expectations = parse_expectations(
        "\n".join(f'http GET h{number}.example.org/x -> 200 "{text}"' for number in range(95))
    )
    batches = list(_batches(expectations.network))
    assert sum(map(len, batches)) == 95
    assert max(len(encode_request(1, Network(tuple(batch)))) for batch in batches) <= MAX_LINE_BYTES


def test_the_longest_text_fits_into_a_request() -> None:
    text = "\N{PARTY POPPER}" * 4_000
    line = parse_expectations(f'http GET api.example.org/x -> 200 "{text}"').network[0]
    assert len(encode_request(1, Network((line,)))) <= MAX_LINE_BYTES


def test_more_lines_than_a_text_may_have_are_refused() -> None:
    with pytest.raises(ConfigError, match="longer than 100 lines"):
        parse_expectations("http GET api.example.org/x -> 200\n" * 500)
