"""The libraries of programs against real servers: what `requests` prints on a board it prints in CPython, too."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.mosquitto import Broker, Listener, wait_for
from tests.mosquitto import broker as broker  # a fixture
from tests.virtual.py.conftest import PyBench
from tests.virtual.py.test_network import Lan, ask

from microclaw.hardware.boards.reader import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.py.compile import build
from microclaw.virtual.clock import Clock

ASKS = """
import requests

def show(response):
    print(response.status_code, response.headers["Content-Type"], response.content)
    response.close()

show(requests.get(BASE + "/echo?a=1", headers={"X-Lamp": "on"}))
print(requests.get(BASE + "/echo").json()["method"])
show(requests.post(BASE + "/echo", json={"level": 5, "on": True}))
show(requests.post(BASE + "/echo", data={"name": "a b\\u00e4&"}))
show(requests.post(BASE + "/echo", json=[1], headers={"content-type": "application/x+json"}))
show(requests.get(BASE + "/moved/two"))
show(requests.put(BASE + "/echo", data="plain"))
show(requests.patch(BASE + "/echo", data=b"bytes"))
show(requests.delete(BASE + "/echo"))
show(requests.get(BASE + "/echo", auth=("lamp", "secret")))
show(requests.get(BASE + "/chunked"))
show(requests.get(BASE + "/moved/one"))
show(requests.post(BASE + "/moved/one", data="gone"))
show(requests.get(BASE + "/nowhere"))
print(requests.head(BASE + "/echo").status_code)
print(requests.get(BASE + "/until-the-end").text)
with requests.get(BASE + "/echo") as response:
    print(response.status_code)
"""
FAILURES = """
import requests

for path in ("/big", "/big-chunked", "/cut", "/cut-chunked", "/circle", "/no-http"):
    try:
        print(requests.get(BASE + path).status_code)
    except OSError as exc:
        print(path, exc.args[-1])
"""


ELSEWHERE = """
import requests

for path in ("/to-the-board", "/to-another-host", "/to-another-port"):
    try:
        print(requests.get(BASE + path).status_code)
    except OSError as exc:
        print(exc.args[-1])
"""


class Handler(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/chunked":
            self._begin(200, {"Transfer-Encoding": "chunked"})
            self.wfile.write(b"4\r\none \r\n5;a=b\r\nthree\r\n0\r\n\r\n")
        elif path == "/big-chunked":
            self._begin(200, {"Transfer-Encoding": "chunked"})
            self.wfile.write((b"1000\r\n" + b"x" * 4096 + b"\r\n") * 3 + b"0\r\n\r\n")
        elif path == "/moved/one":
            self._begin(302, {"Location": "/echo?moved", "Content-Length": "0"})
        elif path == "/moved/two":
            self._begin(302, {"Location": "/echo?next=http://h/", "Content-Length": "0"})
        elif path == "/cut-chunked":
            self._begin(200, {"Transfer-Encoding": "chunked"})
            self.wfile.write(b"5\r\nshort\r\n")
        elif path == "/circle":
            self._begin(302, {"Location": "/circle", "Content-Length": "0"})
        elif path.startswith("/to-"):
            self._begin(307, {"Location": self._elsewhere(path), "Content-Length": "0"})
        elif path == "/big":
            self._begin(200, {"Content-Length": "10000000"})
        elif path == "/cut":
            self._begin(200, {"Content-Length": "50"})
            self.wfile.write(b"short")
        elif path == "/no-http":
            self.wfile.write(b"220 mail.example.org\r\n")
        elif path == "/until-the-end":
            self._begin(200, {})
            self.wfile.write(b"until the end")
        elif path == "/nowhere":
            self._begin(404, {"Content-Length": "0"})
        else:
            self._echo()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        # HTTP/1.0 asks for no chunks, but servers exist that send them.
        self.protocol_version = "HTTP/1.1"
        self.close_connection = True
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _elsewhere(self, path: str) -> str:
        """Return an address at which this server would answer a program that may go there."""
        host = {"/to-the-board": "127.0.0.1", "/to-another-host": "second.example"}.get(path, "server.example")
        port = "80" if path == "/to-another-port" else self.headers["Host"].partition(":")[2]
        return f"http://{host}:{port}/echo"

    def _echo(self) -> None:
        asked = {"method": self.command, "path": self.path}
        for name in ("X-Lamp", "Authorization", "Content-Type"):
            asked[name] = (self.headers[name] or "").lower()
        length = int(self.headers["Content-Length"] or 0)
        body = self.rfile.read(length).decode("latin-1")
        if "json" in asked["Content-Type"]:
            body = json.dumps(json.loads(body), sort_keys=True)
        asked["body"] = body
        content = json.dumps(asked).encode()
        self._begin(200, {"Content-Length": str(len(content))})
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def bench(tmp_path: Path, cache: Path) -> Iterator[PyBench]:
    made = PyBench(tmp_path, Clock(), cache=cache)
    made.board.network = Lan(made.board.print_line)
    yield made
    made.machine.close()


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a web server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made.server_address[1]
        made.shutdown()
        thread.join()


def install(bench: PyBench, source: str) -> None:
    """Build a program as the host does, and run it."""
    cache = BuildCache(bench.folder / "builds")
    image = asyncio.run(build(source, "app", board=load_board("virtual"), cache=cache))
    network = image.network
    bench.install("app", image.rewritten, heap=24_000, hosts=list(network.hosts), ports=list(network.ports))


def printed(bench: PyBench, source: str) -> list[str]:
    """Return what a program prints until it ends."""
    install(bench, f"{source}\nprint('END')\n")
    assert bench.wait_for(lambda: "END" in bench.lines("app")), bench.lines("app")
    return bench.lines("app")[:-1]


def test_requests_does_what_it_does_in_cpython(bench: PyBench, server: int) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(f'BASE = "http://127.0.0.1:{server}"\n{ASKS}', {})
    on_board = printed(bench, f'BASE = "http://server.example:{server}"\n{ASKS}')
    assert on_board == output.getvalue().splitlines()


def test_an_answer_that_is_too_long_cut_or_none_is_an_error_with_its_reason(bench: PyBench, server: int) -> None:
    assert printed(bench, f'BASE = "http://server.example:{server}"\n{FAILURES}') == [
        "/big the answer has more than 8192 bytes, which is the limit for a program",
        "/big-chunked the answer has more than 8192 bytes, which is the limit for a program",
        "/cut the answer ended after 5 of 50 bytes",
        "/cut-chunked the answer ended, or has no length, after 5 bytes",
        f"/circle http://server.example:{server}/circle leads from one address to the next",
        "/no-http no answer of HTTP: b'220 mail.example.org\\r\\n'",
    ]


def test_a_redirect_leads_to_no_host_and_port_but_the_programs_own(bench: PyBench, server: int) -> None:
    own = f"is none of this program's hosts: server.example:{server}"
    assert printed(bench, f'BASE = "http://server.example:{server}"\n{ELSEWHERE}') == [
        f"127.0.0.1:{server} {own}",
        f"second.example:{server} {own}",
        f"server.example:80 {own}",
    ]


def test_tasks_ask_with_aiohttp_at_the_same_time(bench: PyBench, server: int) -> None:
    source = f"""import aiohttp
import asyncio
async def ask(session, number):
    async with session.get("http://server.example:{server}/echo", params={{"n": number}}) as response:
        return response.status, (await response.json())["path"]
async def main():
    async with aiohttp.ClientSession() as session:
        print(await asyncio.gather(ask(session, 1), ask(session, 2)))
        try:
            session.get("http://server.example:{server}/", verify=False)
        except TypeError:
            print("unknown")
asyncio.run(main())
"""
    assert printed(bench, source) == ["[(200, '/echo?n=1'), (200, '/echo?n=2')]", "unknown"]


def test_pages_of_a_program_answer_a_browser(bench: PyBench) -> None:
    source = """import time
from microclaw import web
app = web.App()
@app.route("/led/<state>")
def led(request, state):
    time.sleep_ms(20)
    return {"led": state}
@app.route("/other", methods=["POST"])
async def other(request):
    return "<b>%s</b>" % request.form["name"], 201
@app.route("/broken")
def broken(request):
    raise OSError("no sensor")
@app.errorhandler(404)
def missing(request):
    if request.path == "/old":
        return web.redirect("/")
    return "nothing here"
@app.errorhandler(500)
def failed(request):
    return "try again"
try:
    app.errorhandler(403)
except ValueError as error:
    print(error)
app.run(port=80)
"""
    install(bench, source)
    network = bench.board.network
    assert isinstance(network, Lan)
    assert bench.wait_for(lambda: 80 in network.ports)
    port = network.ports[80]
    head, _, body = ask(port, b"GET /led/on HTTP/1.1\r\nHost: lamp\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(body) == {"led": "on"}
    form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\nname=a%26b"
    head, _, body = ask(port, b"POST /other HTTP/1.1\r\n" + form).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 ")
    assert b"text/html" in head
    assert body == b"<b>a&b</b>"
    for strange in (
        b"nonsense\r\n\r\n",
        b"GET /%ff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Lamp: \xff\r\n\r\n",
    ):
        assert ask(port, strange).startswith(b"HTTP/1.1 400 "), strange
    assert ask(port, b"GET /old HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 302 ")
    broken = ask(port, b"GET /broken HTTP/1.1\r\n\r\n")
    assert broken.startswith(b"HTTP/1.1 500 ")
    assert broken.endswith(b"try again")
    # The connection may be reset by the rest of a line that nobody reads.
    with contextlib.suppress(ConnectionResetError):
        ask(port, b"GET /" + b"x" * 20_000)
    lines = bench.lines("app")
    assert lines[0] == "errorhandler takes 404 or 500"
    assert "OSError: no sensor" in lines
    # A client that goes away in the middle of its request stops nobody.
    with socket.create_connection(("127.0.0.1", port), timeout=30) as half:
        half.sendall(b"POST /other HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf")
    assert b"404" in ask(port, b"GET /nowhere HTTP/1.1\r\n\r\n")
    output = bench.lines("app")
    assert not any(name in line for line in output for name in ("EOFError", "MemoryError", "UnicodeError"))


MQTT = """
from NAME import MQTTClient
import time

heard = []
def take(topic, message):
    time.sleep_ms(20)
    heard.append(message)
    client.publish(b"lamp/state", b"is " + message, qos=1)

client = MQTTClient("lamp", "server.example", PORT, keepalive=60)
client.set_last_will("lamp/gone", "gone", qos=1)
client.set_callback(take)
print(client.connect())
client.subscribe("lamp/set", qos=1)
print(client.check_msg())
client.publish("lamp/state", "ready", retain=True)
client.wait_msg()
while len(heard) < 3:
    client.check_msg()
    time.sleep_ms(10)
client.publish("lamp/long", b"x" * 300)
client.ping()
client.disconnect()
print(heard[:2], len(heard[2]))
"""


@pytest.mark.parametrize("name", ["umqtt.simple", "umqtt.robust", "umqttsimple"])
def test_messages_go_both_ways(name: str, bench: PyBench, broker: Broker) -> None:
    listener = Listener(broker.port, "lamp/#")
    install(bench, MQTT.replace("NAME", name).replace("PORT", str(broker.port)) + "print('END')\n")
    wait_for(lambda: listener.heard, "the program did not publish")
    for message in (b"on", b"off", b"z" * 2000):
        listener.client.publish("lamp/set", message, 1)
    assert bench.wait_for(lambda: "END" in bench.lines("app")), bench.lines("app")
    assert bench.lines("app") == ["False", "None", "[b'on', b'off'] 2000", "END"]
    wait_for(lambda: listener.heard[-1].topic == "lamp/long", "the last message did not come")
    told = [(one.topic, one.payload[:6]) for one in listener.heard if one.topic != "lamp/set"]
    states = [b"ready", b"is on", b"is off", b"is zzz"]
    assert told == [*(("lamp/state", state) for state in states), ("lamp/long", b"xxxxxx")]
    listener.client.publish("lamp/state", b"", 1, retain=True)
    listener.client.disconnect()
    listener.client.loop_stop()


FORGETFUL = """
from umqtt.robust import MQTTClient

class Client(MQTTClient):
    DELAY = 0
    DEBUG = True

def take(topic, message):
    client.subscribe("more")

client = Client("lamp", "server.example", PORT)
client.set_callback(take)
client.connect()
client.subscribe("one")
client.subscribe("two")
print("asked")
client.publish("lamp", "on", qos=1)
print("END")
"""


def forget(listener: socket.socket) -> list[bytes]:
    """Be a broker that breaks off at a message, then refuses `one`; return the topics of the second connection."""
    listener.settimeout(30)
    topics: list[bytes] = []
    for is_first in (True, False):
        connection, _ = listener.accept()
        connection.settimeout(30)
        with connection:
            topics.clear()
            while kind := connection.recv(1):
                body = connection.recv(connection.recv(1)[0], socket.MSG_WAITALL)
                if kind == b"\x10":
                    connection.sendall(b"\x20\x02\0\0")
                elif kind == b"\x82":
                    topics.append(body[4:-1])
                    is_refused = not is_first and topics[-1] == b"one"
                    message = b"\x30\x05\0\x01aon" if is_refused else b""
                    connection.sendall(message + b"\x90\x03" + body[:2] + (b"\x80" if is_refused else b"\0"))
                elif is_first:
                    break
                else:
                    connection.sendall(b"\x40\x02" + body[-4:-2])
    return topics


def test_a_topic_that_is_refused_after_a_reconnect_is_told_and_the_others_are_asked(bench: PyBench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
        topics = pool.submit(forget, listener)
        install(bench, FORGETFUL.replace("PORT", str(listener.getsockname()[1])))
        assert bench.wait_for(lambda: "END" in bench.lines("app")), bench.lines("app")
        bench.machine.close()
        assert sorted(topics.result()) == [b"more", b"one", b"two"]
    assert bench.lines("app")[0] == "asked"
    assert bench.lines("app")[-2:] == ["mqtt reconnect: MQTTException(128,)", "END"]


def test_a_client_connects_again_and_hears_its_topics_when_its_broker_comes_back(
    bench: PyBench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    source = f"""from umqtt.robust import MQTTClient
import time
class Client(MQTTClient):
    DELAY = 0.1
def take(topic, message):
    client.publish("lamp/heard", message)
client = Client("lamp", "server.example", {broker.port})
client.set_callback(take)
client.connect()
client.subscribe("lamp/set", qos=1)
number = 0
while True:
    client.publish("lamp/number", str(number), qos=1)
    number += 1
    time.sleep_ms(20)
"""
    install(bench, source)
    first = Listener(broker.port, "lamp/number")
    wait_for(lambda: first.heard, "no message before")
    broker.kill()
    broker.start()
    second = Listener(broker.port, "lamp/number", "lamp/heard")
    wait_for(lambda: second.heard, "no message after")
    assert int(second.heard[0].payload) >= int(first.heard[-1].payload)
    # The broker that was killed has forgotten who wanted which topics.
    second.say("lamp/set", "on")
    wait_for(lambda: second.on("lamp/heard"), "the program did not hear its topic")
    for listener in (first, second):
        listener.client.disconnect()
        listener.client.loop_stop()
    broker.stop()
