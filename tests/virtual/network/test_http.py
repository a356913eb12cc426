"""A program's HTTP client against a real server, and without a network."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.mosquitto import LIMIT_S
from tests.virtual.network.conftest import MakeBench

BEGIN = Path(__file__).with_name("http.c").read_text(encoding="utf-8")
PERFORM = """
    esp_err_t e = esp_http_client_perform(client);
    printf("%x %d ", e, esp_http_client_get_status_code(client));
    printf("%d\\n", (int)esp_http_client_get_content_length(client));
"""


def program(url: str, more: str = PERFORM) -> str:
    return BEGIN.replace("URL", url).replace("MORE", more)


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
    wanted = {"data 24 app", "type application/json", "none 1", "url /post", "open 0 write 5 fetch 22"}
    wanted |= {"read application/json hello complete 1", "cleanup 0 again 102"}
    assert wanted <= set(bench.lines())


async def test_what_goes_wrong_is_an_error_of_its_own(make_bench: MakeBench, web: str) -> None:
    """A body that breaks off, redirection without end, nobody there, and https without authorities."""
    others = (f"{web}/turn", "http://127.0.0.1:9/", "https://127.0.0.1:9/")
    more = PERFORM + "".join(
        f'esp_http_client_set_url(client, "{url}"); printf("failed %x\\n", esp_http_client_perform(client));'
        for url in others
    )
    bench = make_bench()
    await bench.run(program(f"{web}/short", more))
    bench.wait_line("over")
    assert "ffffffff 200 10" in bench.lines()
    failed = [line for line in bench.lines() if line.startswith("failed")]
    assert failed == ["failed 7001", "failed 7002", "failed 7002"]


async def test_program_that_waits_for_a_server_can_be_killed(make_bench: MakeBench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bench = make_bench()
        app = await bench.run(program(f"http://127.0.0.1:{silent.getsockname()[1]}/"))
        bench.wait_line("event 2 me")
        assert app.kill(LIMIT_S)
    assert "over" not in bench.lines()
