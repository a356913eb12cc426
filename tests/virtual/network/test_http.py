"""A program's HTTP client against a real server, and without a network."""

from __future__ import annotations

import socket

from tests.telemetry.mqtt.conftest import LIMIT_S
from tests.virtual.network.conftest import MakeBench

BEGIN = r"""
#include <esp_http_client.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static esp_err_t on_event(esp_http_client_event_t *e) {
    if (e->event_id == HTTP_EVENT_ON_HEADER) {
        if (strncmp(e->header_key, "Location", 8) == 0) printf("to %.4s\n", e->header_value);
    } else if (e->event_id == HTTP_EVENT_ON_DATA) {
        printf("data %d %.3s\n", e->data_len, (char *)e->data);
    } else {
        printf("event %d %s\n", e->event_id, (char *)e->user_data);
    }
    HANDLER
    return ESP_OK;
}
int main(void) {
    char buffer[64];
    esp_http_client_config_t config = {.url = "URL", .event_handler = on_event, .user_data = "me", .timeout_ms = 40000};
    esp_http_client_handle_t client = esp_http_client_init(&config);
    (void)buffer;
    MORE
    printf("over\n");
}
"""
PERFORM = """
    esp_err_t e = esp_http_client_perform(client);
    printf("%x %d ", e, esp_http_client_get_status_code(client));
    printf("%d\\n", (int)esp_http_client_get_content_length(client));
"""


def program(url: str, more: str = PERFORM, handler: str = "") -> str:
    return BEGIN.replace("URL", url).replace("MORE", more).replace("HANDLER", handler)


async def test_request_follows_where_it_is_sent_and_tells_its_events(make_bench: MakeBench, web: str) -> None:
    bench = make_bench()
    await bench.run(program(f"{web}/move"))
    bench.wait_line("over")
    first = ["event 1 me", "event 2 me", "to /big", "event 7 me", "event 5 me", "event 6 me"]
    second = ["event 1 me", "event 2 me", "data 512 yyy", "data 512 yyy", "data 176 yyy", "event 5 me", "event 6 me"]
    assert [line for line in bench.lines() if line[0] in "edt"] == [*first, *second]
    assert "0 200 1200" in bench.lines()


async def test_post_has_its_headers_and_body(make_bench: MakeBench, web: str) -> None:
    more = r"""
    esp_http_client_set_url(client, "/post");
    esp_http_client_set_method(client, HTTP_METHOD_POST);
    esp_http_client_set_header(client, "Content-Type", "application/json");
    esp_http_client_set_post_field(client, "{\"a\":1}", 7);
    esp_http_client_perform(client);
    char *value;
    esp_http_client_get_header(client, "content-type", &value);
    printf("type %s\n", value);
    esp_http_client_get_header(client, "x", &value);
    printf("none %d\n", value == NULL);
    esp_http_client_get_url(client, buffer, sizeof buffer);
    printf("url %s\n", buffer + strlen(buffer) - 5);
    esp_http_client_set_method(client, HTTP_METHOD_PUT);
    printf("open %d write %d fetch %d\n", esp_http_client_open(client, 5), esp_http_client_write(client, "hello", 5),
           (int)esp_http_client_fetch_headers(client));
    int n = esp_http_client_read_response(client, buffer, sizeof buffer - 1);
    printf("read %.*s complete %d\n", n, buffer, esp_http_client_is_complete_data_received(client));
    printf("cleanup %d again %x\n", esp_http_client_cleanup(client), esp_http_client_cleanup(client));
"""
    bench = make_bench()
    await bench.run(program(web, more))
    bench.wait_line("cleanup")
    lines = bench.lines()
    assert "data 24 app" in lines
    assert "type application/json" in lines
    assert "none 1" in lines
    assert "url /post" in lines
    assert "open 0 write 5 fetch 22" in lines
    assert "read application/json hello complete 1" in lines
    assert "cleanup 0 again 102" in lines


async def test_body_that_breaks_off_and_endless_redirection_are_errors(make_bench: MakeBench, web: str) -> None:
    more = PERFORM + f'esp_http_client_set_url(client, "{web}/turn"); printf("%x\\n", esp_http_client_perform(client));'
    bench = make_bench()
    await bench.run(program(f"{web}/short", more))
    bench.wait_line("over")
    assert "ffffffff 200 10" in bench.lines()
    assert "event 0 me" in bench.lines()
    assert bench.lines()[-2] == "7001"


async def test_nobody_there_and_https_without_authorities_fail(make_bench: MakeBench, web: str) -> None:
    tls = 'esp_http_client_set_url(client, "https://127.0.0.1:9/");'
    more = PERFORM + tls + PERFORM.replace("esp_err_t e", "e")
    bench = make_bench()
    await bench.run(program("http://127.0.0.1:9/", more))
    bench.wait_line("over")
    assert [line for line in bench.lines() if line == "7002 0 0"] == ["7002 0 0"] * 2


async def test_program_that_waits_for_a_server_can_be_killed(make_bench: MakeBench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bench = make_bench()
        app = await bench.run(program(f"http://127.0.0.1:{silent.getsockname()[1]}/"))
        bench.wait_line("event 2 me")
        assert app.kill(LIMIT_S)
    assert "over" not in bench.lines()


async def test_wrong_argc_is_refused_and_a_negative_id_traps(make_bench: MakeBench) -> None:
    source = r"""
#include <stdint.h>
#include <stdio.h>
int wasm_http_client_call_native_func(int32_t id, uint32_t argc, uint32_t *argv);
void on_init(void) {
    uint32_t argv[2] = {0, 0};
    printf("%x %x\n", wasm_http_client_call_native_func(5, 3, argv), wasm_http_client_call_native_func(6, 2, argv));
    wasm_http_client_call_native_func(-1, 2, argv);
}
"""
    bench = make_bench(has_network=False)
    await bench.run(source)
    bench.wait_line("Got exception")
    assert bench.lines()[0] == "102 102"
