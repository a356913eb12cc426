"""Eight programs on the network at once, as a board with PSRAM takes them: all are asked and all answer."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections import Counter
from pathlib import Path

from tests.firmware.conftest import PATIENCE_S
from tests.firmware.runner.conftest import MicroPython
from tests.firmware.runner.test_net import serving
from tests.mosquitto import Broker, Listener, wait_for
from tests.mosquitto import broker as broker  # a fixture
from tests.postgres import free_port

from microclaw.hardware.boards.reader import load_board
from microclaw.programs.building import fit_claim
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.py.compile import build
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES

PAGE = """import socket
listener = socket.socket()
listener.bind(("0.0.0.0", PORT))
listener.listen(2)
print("listening")
while True:
    client, address = listener.accept()
    client.recv(512)
    client.send("HTTP/1.0 200 OK\\r\\n\\r\\npage of PORT")
    client.close()
"""
LAMP = """from umqtt.MODULE import MQTTClient
import time
def take(topic, message):
    client.publish("NAME/state", message)
client = MQTTClient("NAME", "server.example", port=PORT)
client.set_callback(take)
client.connect()
client.subscribe("NAME/set")
while True:
    client.check_msg()
    time.sleep(0.05)
"""
ASKING = """import requests
import time
while True:
    print(requests.get("http://server.example:PORT/NAME").text)
    time.sleep(0.1)
"""
ROUNDS = 5
MOST_BYTES = 80_000
"""What the eight take together, with all that is read in for them; measured 68,368."""
SCRIPT = """
import gc
import lan
import os
async def main():
    runner = new_runner()
    gc.collect()
    before = gc.mem_alloc()
    for name, heap, hosts, ports in PROGRAMS:
        await install(runner, name, heap=heap, hosts=hosts, ports=ports)
    await until(lambda: lines().count("listening") == 3)
    print("ready")
    while "over" not in os.listdir(FOLDER):
        await asyncio.sleep_ms(5)
    gc.collect()
    taken = gc.mem_alloc() - before
    return [[[one["state"], one.get("error")] for one in runner.list()], events(), taken]
run(main)
"""


def test_eight_programs_on_the_network_all_answer(micropython: MicroPython, broker: Broker) -> None:
    asked: Counter[str] = Counter()

    def answer(connection: socket.socket) -> None:
        asked[connection.recv(1024).split()[1].decode()] += 1
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")

    pages = [free_port() for _ in range(3)]
    with serving(answer) as web:
        sources = {f"page{place}": PAGE.replace("PORT", str(port)) for place, port in enumerate(pages)}
        for place, module in enumerate(("simple", "simple", "robust")):
            lamp = LAMP.replace("MODULE", module).replace("PORT", str(broker.port))
            sources[f"lamp{place}"] = lamp.replace("NAME", f"lamp{place}")
        for name in ("ask0", "ask1"):
            sources[name] = ASKING.replace("PORT", str(web)).replace("NAME", name)
        rows = [_compiled(micropython.folder, name, source) for name, source in sources.items()]
        board = micropython.with_room()
        process = subprocess.Popen(
            board.script(SCRIPT.replace("PROGRAMS", repr(rows))),
            env=board.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            try:
                assert process.stdout.readline() == "ready\n"
                _ask_all(broker, pages)
                wait_for(lambda: min(asked["/ask0"], asked["/ask1"]) >= ROUNDS, "a program asks no more")
                (micropython.folder / "over").touch()
                out, err = process.communicate(timeout=PATIENCE_S)
            finally:
                process.kill()
    assert not err
    states, events, taken_bytes = json.loads(out.strip().split("\n")[-1])
    assert (states, events) == ([["running", None]] * 8, [])
    assert taken_bytes < MOST_BYTES


def _compiled(folder: Path, name: str, source: str) -> tuple[str, int, list[str], list[int]]:
    """Build a program into the folder; return its name, claim, hosts and ports."""
    cache = BuildCache(folder / "cache")
    image = asyncio.run(build(source, name, board=load_board("esp32-s3-devkitc-1-v1.1"), cache=cache))
    (folder / f"{name}.mpy").write_bytes(image.code)
    return name, fit_claim(image, DEFAULT_HEAP_BYTES), list(image.network.hosts), list(image.network.ports)


def _ask_all(broker: Broker, pages: list[int]) -> None:
    """Ask each page and each lamp a few times, and wait for every answer."""
    listener = Listener(broker.port, "+/state")
    try:
        for number in range(ROUNDS):
            for port in pages:
                assert _page(port).endswith(f"page of {port}")
            for place in range(3):
                _say_until_heard(listener, f"lamp{place}", str(number))
    finally:
        listener.close()


def _page(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := connection.recv(1024):
            answer += piece
    return answer.decode()


def _say_until_heard(listener: Listener, name: str, text: str) -> None:
    """Say it until the lamp says it, too: it may have subscribed only now."""

    def is_heard() -> bool:
        listener.say(f"{name}/set", text)
        return any(message.payload == text.encode() for message in listener.on(f"{name}/state"))

    wait_for(is_heard, f"{name} does not answer")
