"""Python programs on the network, tried: the libraries that people know, answered by lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.programs.conftest import tried

WEATHER = """
import network, time, urequests
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("home", "secret")
while not wlan.isconnected():
    time.sleep(0.5)
for i in range(3):
    r = urequests.get("http://api.example.org/x?place=home")
    print("t", r.json()["t"])
    r.close()
    urequests.post("http://api.example.org/log", json={"n": i})
    time.sleep(2)
"""
SERVER = """
import socket
from machine import Pin
led = Pin(2, Pin.OUT)
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.bind(("", 80))
s.listen(5)
while True:
    conn, addr = s.accept()
    request = str(conn.recv(1024))
    led.value("/led/on" in request or "on=1" in request)
    conn.send("HTTP/1.1 200 OK\\n")
    conn.send("Content-Type: text/html\\n")
    conn.send("Connection: close\\n\\n")
    conn.sendall("<html><h1>LED is %s</h1></html>" % ("on" if led.value() else "off"))
    conn.close()
"""
LAMP = """
import time
from machine import Pin
from umqtt.simple import MQTTClient
led = Pin(2, Pin.OUT)
def got(topic, msg):
    led.value(msg == b"on")
client = MQTTClient("me", "test.example.org")
client.set_callback(got)
client.connect()
client.subscribe(b"home/lamp")
n = 0
while True:
    client.check_msg()
    client.publish(b"home/n", str(n))
    n += 1
    time.sleep(1)
"""
BUTTON = """
import time
import requests
from machine import Pin
button = Pin(4, Pin.IN, Pin.PULL_UP)
last = 1
while True:
    level = button.value()
    if last and not level:
        print("sent", requests.post("http://api.example.org/door", json={"value": "open"}).status_code)
    last = level
    time.sleep_ms(20)
"""
SLOW = """
import socket, time
s = socket.socket()
s.bind(("", 80))
s.listen(5)
n = 0
while True:
    conn, addr = s.accept()
    conn.recv(1024)
    n += 1
    time.sleep(2)
    conn.send("HTTP/1.1 200 OK\\r\\n\\r\\nvisit %d" % n)
    conn.close()
"""
TWO_SERVERS = """
import requests
requests.post("http://api.example.org:8080/log", data="a")
requests.post("http://api.example.org/log", data="b")
requests.post("https://api.example.org/log", data="c")
"""
ROBUST = """
import time
from umqtt.robust import MQTTClient
client = MQTTClient("me", "test.example.org")
client.DELAY = 30
client.connect()
while True:
    client.publish(b"home/n", b"1")
    time.sleep(10)
"""
STREAMS = """
import asyncio
async def serve(reader, writer):
    line = await reader.readline()
    while await reader.readline() != b"\\r\\n":
        pass
    writer.write(b"HTTP/1.0 200 OK\\r\\n\\r\\nlamp " + line.split()[1])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
async def main():
    await asyncio.start_server(serve, "0.0.0.0", 8080)
    while True:
        await asyncio.sleep(1)
asyncio.run(main())
"""
MET = {
    # The reading of its answers goes on beyond the parts of a long trial, whose last presses come after all of them.
    "a button": (
        BUTTON,
        """
http POST api.example.org/door -> 200
when pin 4 falls: log ~ "sent 200" within 500 ms
""",
    ),
    "urequests": (
        WEATHER,
        """http GET api.example.org/x -> 200 {"t": 21}
http POST api.example.org/log -> 204
log 3 times ~ "t 21"
http POST api.example.org/log 3 times ~ ".*n.*" """,
    ),
    "socket": (
        SERVER,
        """at 1 s http GET :80/led/on -> 200 ~ "is on"
at 3 s http GET :80/led/off -> 200 ~ "is off"
at 4 s http POST :80/led "on=1" -> 200
pin 2: rises at 1 s, 4 s""",
    ),
    "requests of one path, of which the answers come after the next request": (
        SLOW,
        """at 2 s, 12 s http GET / -> 200 ~ "visit [13]"
at 3 s http GET / -> 200 ~ "visit 2" """,
    ),
    "servers of one host at several ports": (
        TWO_SERVERS,
        """http POST api.example.org:8080/log -> 204
http POST api.example.org/log -> 204
http POST api.example.org:8080/log 1 times ~ "a"
http POST api.example.org:8080/log 1 times ~ ".*"
http POST http://api.example.org/log 1 times ~ "b"
http POST http://api.example.org/log never ~ "[ac]"
http POST https://api.example.org/log 1 times ~ ".*"
http POST api.example.org/log 2 times ~ "[bc]" """,
    ),
    "umqtt": (
        LAMP,
        """mqtt broker test.example.org
at 2.5 s mqtt home/lamp "on"
mqtt home/n every 1 s ~ "\\d+"
pin 2: high at 5 s""",
    ),
    "a broker that goes away for an hour": (
        ROBUST,
        """mqtt broker test.example.org
at 35 s mqtt broker test.example.org away for 1 h
mqtt home/n 4 times ~ "1" until 35 s
mqtt home/n never ~ "1" from 35.001 s until 1 h 34 s
mqtt home/n every 10 s ~ "1" from 1 h 2 min until 1 h 3 min
soak 1 s""",
    ),
    "asyncio": (
        STREAMS,
        """at 2 s http GET :8080/on -> 200 ~ "lamp /on"
at 2.001 s http GET :8080/off -> 200 ~ "lamp /off" """,
    ),
}


@pytest.mark.parametrize("name", MET)
async def test_a_program_meets_what_its_lines_say(name: str, build_cache: Path) -> None:
    source, expect = MET[name]
    trial = await tried(source, build_cache, expect)
    assert (trial.ok, trial.proof) == (True, "met in the trial"), trial.error


UNTRIED = {
    'print(requests.get("http://other.example.org/").text)': "no line answers other.example.org",
    'print(requests.get("http://api.example.org/y").json()["t"])': "no line answers GET api.example.org/y",
    'print(requests.get("http://192.168.1.20/").text)': "no line answers 192.168.1.20:80",
}


@pytest.mark.parametrize("call", UNTRIED)
async def test_a_program_that_ends_by_an_unknown_host_or_path_is_untried(call: str, build_cache: Path) -> None:
    trial = await tried(f"import requests\n{call}\n", build_cache, 'http GET api.example.org/x -> 200 {"t": 1}')
    assert (trial.ok, trial.untried) == (True, UNTRIED[call])


async def test_a_host_without_a_line_is_named_though_the_traceback_is_longer_than_what_a_board_sends(
    build_cache: Path,
) -> None:
    source = """import requests
def ask_the_weather_of_the_town_where_this_board_stands(calls_left):
    if calls_left:
        return ask_the_weather_of_the_town_where_this_board_stands(calls_left - 1)
    return requests.get("http://other.example.org/").text
ask_the_weather_of_the_town_where_this_board_stands(12)
"""
    trial = await tried(source, build_cache, 'log ~ "sunny"')
    assert trial.untried == "no line answers other.example.org"
    assert [result.trial for result in trial.expected] == ["untried"]


async def test_a_fault_of_its_own_is_none_of_the_network(build_cache: Path) -> None:
    source = """
import requests
try:
    requests.get("http://other.example.org/")
except OSError:
    print(1 // 0)
"""
    trial = await tried(source, build_cache)
    assert (trial.ok, trial.untried) == (False, None)


async def test_refusal_and_silence_of_a_known_server_are_the_programs_to_handle(build_cache: Path) -> None:
    source = 'import requests\nprint(requests.get("http://api.example.org/x", timeout=2).status_code)\n'
    for answer in ("refused", "no answer"):
        trial = await tried(source, build_cache, f"http GET api.example.org/x -> {answer}")
        assert (trial.ok, trial.untried) == (False, None)


DEAF = """
import time
from umqtt.simple import MQTTClient
client = MQTTClient("me", "test.example.org")
client.set_callback(lambda topic, message: None)
client.connect()
while True:
    client.check_msg()
    time.sleep(1)
"""


@pytest.mark.parametrize(
    ("source", "stimulus", "answer"),
    [
        (DEAF, 'mqtt home/nobody "on"', "untried"),
        (DEAF, "http GET :80/x", "untried"),
        (DEAF.replace("while", 'client.subscribe("home/#")\nwhile'), 'mqtt home/lamp "on"', "met"),
    ],
    ids=["a message for nobody", "a request to a closed port", "a message that comes"],
)
async def test_only_what_reaches_the_program_shows_that_it_never_does_something(
    source: str, stimulus: str, answer: str, build_cache: Path
) -> None:
    lines = f'mqtt broker test.example.org\nat 2 s {stimulus}\nmqtt home/x never ~ "error"\nsoak 1 s'
    trial = await tried(source, build_cache, lines)
    assert [result.trial for result in trial.expected] == [answer]
