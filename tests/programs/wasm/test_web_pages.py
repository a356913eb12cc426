"""Pages of sketches: WebServer.h, WiFiServer.h and ESPAsyncWebServer.h answer requests to the resource `web`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from microclaw.errors import BuildError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.wasm.refusals import refusal_of
from microclaw.virtual.board import Board
from microclaw.virtual.firmware.app_manager import AppManager
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire.wasmachine.frame import MessageType, encode_frame
from microclaw.wire.wasmachine.request import FORMAT_RAW, CoapCode, RequestAction, Response, WasmachineRequest

HEAP_BYTES = 8192
TURN_MS = 100


class PageBoard:
    """A virtual board on a virtual clock with one program, whose pages are asked for as a host does."""

    def __init__(self, profile: BoardProfile, folder: Path) -> None:
        self.clock = VirtualClock()
        self.board = Board(profile, self.clock, storage_dir=folder / "storage")
        self.sent: list[tuple[MessageType, bytes]] = []
        self.manager = AppManager(self.board, lambda kind, payload: self.sent.append((kind, payload)))

    def start(self, wasm: bytes, heap_bytes: int = HEAP_BYTES) -> None:
        assert self.manager.install("main", wasm, heap_bytes)
        self.clock.settle()
        self.pass_ms(TURN_MS)

    def pass_ms(self, ms: float) -> None:
        assert self.clock.advance(ms).stuck is None

    def send(self, text: str, mid: int = 1) -> None:
        """Pass one HTTP request on."""
        body = text.replace("\n", "\r\n").encode()
        request = WasmachineRequest(RequestAction.POST, "/app/main/web", mid, body, FORMAT_RAW)
        self.manager.receive(encode_frame(MessageType.REQUEST, request.encode()))
        self.clock.settle()

    def answers(self) -> dict[int, str]:
        """Return what was answered since the last time, by the request's number."""
        texts = {}
        for kind, payload in self.sent:
            if kind is MessageType.RESPONSE:
                response = Response.decode(payload)
                assert (response.status, response.format) == (CoapCode.CONTENT, FORMAT_RAW)
                texts[response.mid] = response.body.decode().replace("\r\n", "\n")
        self.sent.clear()
        return texts

    def ask(self, text: str, ms: float = TURN_MS) -> str:
        """Return the answer to one HTTP request after this time."""
        self.send(text)
        self.pass_ms(ms)
        return self.answers()[1]

    def lines(self) -> list[str]:
        self.board.end_line("main")
        return [record.text for record in self.board.log().records if record.app == "main"]


@pytest.fixture
def pages(board: BoardProfile, tmp_path: Path) -> Iterator[PageBoard]:
    made = PageBoard(board, tmp_path)
    yield made
    made.manager.close()


def get(target: str, *headers: str) -> str:
    return "\n".join((f"GET {target} HTTP/1.1", "Host: board", *headers, "", ""))


def form(target: str, body: str) -> str:
    head = f"POST {target} HTTP/1.1\nContent-Type: application/x-www-form-urlencoded\nContent-Length: {len(body)}\n\n"
    return head + body


LAMP = r"""
#include <WiFi.h>
#include <WebServer.h>
#include <uri/UriBraces.h>
WebServer server(80);
int asked = 0;
void showRoot() {
    asked++;
    server.sendHeader("X-Count", String(asked));
    server.send(200, "text/html", "<h1>lamp</h1>");
}
void setup() {
    pinMode(2, OUTPUT);
    WiFi.begin("home", "secret");
    while (WiFi.status() != WL_CONNECTED) {
        delay(500);
    }
    server.on("/", showRoot);
    server.on("/lamp", HTTP_POST, []() {
        digitalWrite(2, server.arg("level") == "on");
        delay(20);
        server.send(200, "text/plain", server.arg("level") + "," + server.arg("who") + "," + server.args());
    });
    server.on("/json", []() { server.send(200, "application/json", server.arg("plain")); });
    server.on(UriBraces("/pin/{}/{}"), []() {
        server.send(200, "text/plain", server.pathArg(0) + "-" + server.pathArg(1));
    });
    server.on("/private", []() {
        if (!server.authenticate("eve", "pass word")) {
            return server.requestAuthentication();
        }
        server.send(200, "text/plain", server.header("x-from"));
    });
    server.onNotFound([]() { server.send(404, "text/plain", "no " + server.uri()); });
    server.begin();
}
void loop() {
    server.handleClient();
}
"""


async def test_pages_of_a_web_server(compile_c: Any, pages: PageBoard) -> None:
    image = await compile_c(LAMP, language="sketch")
    pages.start(image.wasm)
    page = "HTTP/1.1 200 OK\nContent-Type: text/html\nX-Count: {}\n\n<h1>lamp</h1>"
    assert pages.ask(get("/")) == page.format(1)
    assert pages.ask(get("/?again=1")) == page.format(2)
    answer = pages.ask(form("/lamp?who=a%20b", "level=on&empty"))
    assert answer == "HTTP/1.1 200 OK\nContent-Type: text/plain\n\non,a b,2"
    assert pages.board.edges().records[-1].level == 1
    assert pages.ask(get("/lamp")) == "HTTP/1.1 404 Not Found\nContent-Type: text/plain\n\nno /lamp"
    assert pages.ask(get("/pin/4/high")).endswith("\n\n4-high")
    assert pages.ask('POST /json HTTP/1.1\nContent-Type: application/json\n\n{"a": 1}').endswith('\n\n{"a": 1}')
    assert pages.ask(get("/private", "X-From: here ")).endswith("\n\nhere"), "the host asks who comes"


ANSWERS = r"""
#include <WebServer.h>
#include <uri/UriBraces.h>
WebServer server(80);
void setup() {
    server.on("/twice", []() {
        server.send(200, "text/plain", "first");
        server.sendContent(" and more");
        server.send(500, "text/plain", "second");
        server.sendContent(" lost");
    });
    server.on(UriBraces("/say/{}"), []() {
        server.send(server.arg("status").toInt(), "text/plain", server.pathArg(0) + server.arg("q"));
    });
    server.on("/post", HTTP_POST, []() { server.send(200); });
    server.on("/go", []() {
        server.sendHeader("Location", server.arg("to"));
        server.send(302, "text/plain", server.hasArg("bare") ? "bare" : "");
    });
    server.begin();
}
void loop() {
    server.handleClient();
}
"""


async def test_answers_are_those_that_a_browser_has_from_the_core(compile_c: Any, pages: PageBoard) -> None:
    """Of two answers the first counts; only the query is decoded; another method is not found, as there."""
    pages.start((await compile_c(ANSWERS, language="sketch")).wasm)
    assert pages.ask(get("/twice")) == "HTTP/1.1 200 OK\nContent-Type: text/plain\n\nfirst and more"
    assert pages.lines() == ["WebServer: /twice is answered already: the answer 500 is left out"]
    assert pages.ask(get("/twice")).endswith("first and more")
    answer = pages.ask(get("/say/a+b%20c?status=422&q=d+e"))
    assert answer == "HTTP/1.1 422 Unprocessable Content\nContent-Type: text/plain\n\na+b%20cd e"
    assert pages.ask(get("/say/x?status=429")).startswith("HTTP/1.1 429 Too Many Requests\n")
    assert pages.ask(get("/post")) == "HTTP/1.1 404 Not Found\nContent-Type: text/plain\n\nNot found: /post"


async def test_a_header_with_a_line_break_and_an_argument_without_a_value_are_left_out(
    compile_c: Any, pages: PageBoard
) -> None:
    pages.start((await compile_c(ANSWERS, language="sketch")).wasm)
    head = "HTTP/1.1 302 Found\nContent-Type: text/plain\n"
    assert pages.ask(get("/go?to=/&bare=")) == f"{head}Location: /\n\nbare"
    assert pages.ask(get("/go?bare&to=/%0d%0aSet-Cookie:%20a=b")) == f"{head}\n"
    assert pages.ask(get("/go?to=/%0Ax")) == f"{head}\n"
    assert pages.lines() == ["WebServer: a header of /go has a line break: it is left out"] * 2


async def test_requests_wait_for_a_busy_program_and_more_than_four_are_turned_away(
    compile_c: Any, pages: PageBoard
) -> None:
    source = LAMP.replace("void loop() {", "void loop() {\n    delay(3000);")
    pages.start((await compile_c(source, language="sketch")).wasm)
    for number in range(1, 7):
        pages.send(get("/"), number)
    assert {mid: answer.split("\n")[0] for mid, answer in pages.answers().items()} == {
        5: "HTTP/1.1 503 Service Unavailable",
        6: "HTTP/1.1 503 Service Unavailable",
    }
    pages.pass_ms(9900)
    assert [*pages.answers()] == [1, 2, 3], "the host waits for ten seconds"


COUNTER = r"""
#include <WiFi.h>
WiFiServer server(80);
String header;
void setup() {
    server.begin();
}
void loop() {
    WiFiClient client = server.available();
    if (!client) {
        return;
    }
    String line;
    while (client.connected()) {
        if (client.available()) {
            char c = client.read();
            header += c;
            if (c == '\n') {
                if (line.length() == 0) {
                    client.println("HTTP/1.1 200 OK");
                    client.println("Content-type:text/html");
                    client.println();
                    client.print(header.indexOf("GET /5/on") >= 0 ? "is on" : "is off");
                    client.printf(" %d", 7);
                    break;
                }
                line = "";
            } else if (c != '\r') {
                line += c;
            }
        }
    }
    header = "";
    client.stop();
}
"""

BY_LINES = r"""
#include <WiFi.h>
WiFiServer server(80);
void setup() {
    server.begin();
}
void loop() {
    WiFiClient client = server.accept();
    if (client) {
        String request = client.readStringUntil('\r');
        client.print("HTTP/1.1 200 OK\r\n\r\n" + request);
    }
}
"""


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        (COUNTER, "HTTP/1.1 200 OK\nContent-type:text/html\n\nis on 7"),
        (BY_LINES, "HTTP/1.1 200 OK\n\nGET /5/on HTTP/1.1"),
    ],
)
async def test_clients_of_a_wifi_server(compile_c: Any, pages: PageBoard, source: str, answer: str) -> None:
    """By characters and by lines; stop() sends the answer, and so does the end of the last copy of a client."""
    image = await compile_c(source, language="sketch")
    pages.start(image.wasm)
    for _ in range(3):
        assert pages.ask(get("/5/on")) == answer


ASYNC = r"""
#include <WiFi.h>
#include <AsyncTCP.h>
#include <ESPAsyncWebServer.h>
AsyncWebServer server(80);
const char page[] PROGMEM = R"=====(<style>b{width:100%%;}</style><b>%STATE%</b>%OTHER%)=====";
String level = "off";
String processor(const String &name) {
    return name == "STATE" ? level : String();
}
void setup() {
    server.on("/", HTTP_GET, [](AsyncWebServerRequest *request) {
        request->send_P(200, "text/html", page, processor);
    });
    server.on("/set", HTTP_GET | HTTP_POST, [](AsyncWebServerRequest *request) {
        if (request->hasParam("level", request->method() == HTTP_POST)) {
            level = request->getParam("level", request->method() == HTTP_POST)->value();
        }
        request->send(200, "text/plain", "OK");
    });
    server.on("/list", HTTP_GET, [](AsyncWebServerRequest *request) {
        AsyncResponseStream *response = request->beginResponseStream("text/plain");
        response->addHeader("X-Pages", "1");
        for (size_t i = 0; i < request->params(); i++) {
            AsyncWebParameter *parameter = request->getParam(i);
            response->printf("%s=%s;", parameter->name().c_str(), parameter->value().c_str());
        }
        request->send(response);
    });
    server.on("/body", HTTP_PUT, [](AsyncWebServerRequest *request) {}, NULL,
              [](AsyncWebServerRequest *request, uint8_t *data, size_t size, size_t, size_t total) {
                  request->send(201, "text/plain", String((const char *)data, size) + total);
              });
    server.on("/home", HTTP_GET, [](AsyncWebServerRequest *request) { request->redirect("/"); });
    server.onNotFound([](AsyncWebServerRequest *request) { request->send(404); });
    server.begin();
}
void loop() {}
"""


async def test_pages_of_an_async_web_server(compile_c: Any, pages: PageBoard) -> None:
    image = await compile_c(ASYNC, language="sketch")
    pages.start(image.wasm)
    assert pages.ask(get("/set?level=on")) == "HTTP/1.1 200 OK\nContent-Type: text/plain\n\nOK"
    assert pages.ask(get("/")).endswith("\n\n<style>b{width:100%;}</style><b>on</b>")
    pages.ask(form("/set", "level=dim"))
    assert "<b>dim</b>" in pages.ask(get("/"))
    assert pages.ask(get("/list?a=1&b=%26")).endswith("X-Pages: 1\n\na=1;b=&;")
    assert pages.ask("PUT /body HTTP/1.1\n\nabc").endswith("201 Created\nContent-Type: text/plain\n\nabc3")
    assert "302 Found\nContent-Type: text/plain\nLocation: /\n" in pages.ask(get("/home"))
    assert pages.ask(get("/nothing")) == "HTTP/1.1 404 Not Found\nContent-Type: text/plain\n\n"


async def test_bad_requests_neither_end_nor_hang_a_program(compile_c: Any, pages: PageBoard) -> None:
    pages.start((await compile_c(ASYNC, language="sketch")).wasm)
    for text in ("", "\n", "GET", "GET /", "\0\1\2", "GET /%zz?%=&&= HTTP/1.1\n:\nno colon\n\n", "x" * 700):
        assert pages.ask(text).startswith("HTTP/1.1 ")
    assert "503 Service" in pages.ask("POST /set HTTP/1.1\n\n" + "x" * 3000), "the heap has no room for its copies"
    assert pages.ask(get("/set")).endswith("OK")
    assert [line for line in pages.lines() if "allocate" not in line] == []


async def test_the_build_says_where_the_pages_are(compile_c: Any) -> None:
    image = await compile_c(LAMP + "void more() { Serial.println(WiFi.localIP()); }", language="sketch", name="lamp")
    messages = [warning.message for warning in image.warnings]
    assert any(text.startswith("no port opens on the board") for text in messages)
    assert any("signed in" in text for text in messages)
    assert sum("http://HOST:8080/app/lamp/" in text for text in messages) == 2


@pytest.mark.parametrize(
    ("line", "reason_id"),
    [
        ("WiFi.mode(WIFI_AP_STA);", "access point"),
        ('WiFi.softAP("a", "b");', "access point"),
        ("WiFi.SSID(2);", "Wi-Fi settings"),
        ('WiFiClient().connect("h", 80);', "raw connections"),
        ("secure.setInsecure();", "unverified TLS"),
        ('secure.setCertificate("");', "client certificates"),
        ('pages.on("/", HTTP_POST, []() {}, []() {});', "files of pages"),
        ('pages.serveStatic("/", LittleFS, "/");', "files of pages"),
        ('async.serveStatic("/", LittleFS, "/");', "files of pages"),
        ('async.on("/", 1, [](AsyncWebServerRequest *r) { r->send(LittleFS, "/a", "text/html"); });', "files of pages"),
        ('AsyncWebSocket ws("/ws");', "web sockets"),
        ("WiFiUDP().begin(123);", "UDP"),
    ],
)
async def test_what_the_firmware_keeps_is_refused_with_the_way_that_exists(
    compile_c: Any, line: str, reason_id: str
) -> None:
    source = (
        "#include <WiFi.h>\n#include <WebServer.h>\n#include <ESPAsyncWebServer.h>\n#include <LittleFS.h>\n"
        "#include <WiFiClientSecure.h>\nWiFiClientSecure secure;\nWebServer pages;\nAsyncWebServer async(80);\n"
        f"void setup() {{ {line} }}\nvoid loop() {{}}\n"
    )
    with pytest.raises(BuildError) as caught:
        await compile_c(source, language="sketch")
    advice = refusal_of(reason_id)
    assert (caught.value.diagnostics[0].hint, caught.value.diagnostics[0].line) == (advice.hint, 9)
