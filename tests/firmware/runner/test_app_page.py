"""The host's request to a program's own server, on the unix port: in pieces, each once, and never for long."""

from __future__ import annotations

from typing import Any

from tests.firmware.runner.conftest import MicroPython
from tests.postgres import free_port

# It answers by the path: /long without a length, /kept with one and an open connection, /silent not at all.
SERVER = """
async def main(E):
    socket = E.module("socket")
    s = socket.socket()
    s.bind(("", PORT))
    s.listen(2)
    E.print("ready")
    kept = []
    while True:
        c, _ = await E.aw(s.accept())
        asked = await E.aw(c.recv(1024))
        E.print(asked[:9].decode())
        if asked[4:9] == b"/long":
            await E.aw(c.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + b"x" * 5000))
            c.close()
        elif asked[4:9] == b"/kept":
            await E.aw(c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\non"))
            kept.append(c)
        else:
            kept.append(c)
"""

ASKING = """
from app_page import apps_page
from errors import CallError
class Calls:
    page = None
calls = Calls()
calls.runner = runner
async def ask(name, number, cursor, request):
    return await apps_page(calls, {"name": name, "number": number, "cursor": cursor, "request": request})
async def whole(number, request):
    cursor = 0
    pieces = []
    while True:
        piece = await ask("p", number, cursor, request)
        again = await ask("p", number, cursor, request)
        assert again["answer"][: len(piece["answer"])] == piece["answer"]
        pieces.append(again["answer"])
        cursor = again["cursor"]
        if not again["more"]:
            return b"".join(pieces)
async def refusal(*arguments):
    try:
        return await ask(*arguments)
    except CallError as exc:
        return exc.code
await until(lambda: "ready" in lines())
"""
IN_PIECES = """
long = await whole(1, b"GET /long HTTP/1.1\\r\\n\\r\\n")
kept = await whole(2, b"GET /kept HTTP/1.1\\r\\n\\r\\n")
began = time.ticks_ms()
silent = await ask("p", 3, 0, b"GET /silent HTTP/1.1\\r\\n\\r\\n")
took = time.ticks_diff(time.ticks_ms(), began)
codes = [await refusal("p", 3, 7, b""), await refusal("p", 1, 5019, b""), await refusal("q", 9, 0, b"GET")]
asked = [line for line in lines() if line.startswith("GET")]
return [len(long), kept.decode(), silent["more"], len(silent["answer"]), took < 5000, codes, asked]
"""


def run_steps(micropython: MicroPython, program: str, steps: str, options: str = "") -> Any:
    """Run a program `p` whose server has a port, ask it by the steps, and return what they return."""
    port = free_port()
    micropython.compile("p", program.replace("PORT", str(port)))
    body = "\n    ".join((ASKING + steps.lstrip()).strip().split("\n"))
    return micropython.run(f"""
import gc, lan
async def main():
    runner = new_runner()
    await install(runner, "p", ports=[{port}]{options})
    {body}
run(main)
""")


def test_an_answer_comes_in_pieces_and_a_silent_program_holds_no_call_for_long(micropython: MicroPython) -> None:
    said = run_steps(micropython, SERVER, IN_PIECES)
    assert said == [
        5019,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\non",
        True,
        0,
        True,
        ["bad_params", "failed", "app_not_found"],
        ["GET /long", "GET /kept", "GET /sile"],
    ]


NEVER_ACCEPTS = """
async def main(E):
    socket = E.module("socket")
    s = socket.socket()
    s.bind(("", PORT))
    s.listen(1)
    E.print("ready")
    await E.sleep(1000)
"""
ASKED_UNTIL_NO_ROOM = """
longest = 0
code = None
for number in range(1, 16):
    began = time.ticks_ms()
    code = await refusal("p", number, 0, b"POST / HTTP/1.1\\r\\n\\r\\n" + b"x" * 6000)
    longest = max(longest, time.ticks_diff(time.ticks_ms(), began))
    if isinstance(code, str):
        break
return [code, longest < 5000]
"""


def test_a_program_that_takes_no_connection_holds_no_call_for_long(micropython: MicroPython) -> None:
    said = run_steps(micropython, NEVER_ACCEPTS, ASKED_UNTIL_NO_ROOM)
    assert said == ["failed", True]


CLOSES = """
async def main(E):
    socket = E.module("socket")
    s = socket.socket()
    s.bind(("", PORT))
    s.listen(2)
    E.print("ready")
    while True:
        c, _ = await E.aw(s.accept())
        await E.aw(c.recv(1024))
        await E.aw(c.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n"))
        c.close()
"""
ASKED_OFTEN = """
async def asked(numbers):
    for number in numbers:
        await whole(number, b"GET / HTTP/1.1\\r\\n\\r\\n")
    gc.collect()
    return gc.mem_alloc()
before = await asked(range(1, 20))
return await asked(range(20, 120)) - before < 4000
"""


def test_a_hundred_answers_in_a_few_seconds_keep_no_memory(micropython: MicroPython) -> None:
    said = run_steps(micropython, CLOSES, ASKED_OFTEN)
    assert said is True


MEASURED = """
count = [0]
measure = runner.board.measure
def counted(take):
    count[0] += 1
    measure(take)
runner.board.measure = counted
for number in range(320):
    await whole(number, b"GET / HTTP/1.1\\r\\n\\r\\n")
return count[0]
"""


def test_a_server_that_is_asked_all_the_time_is_not_measured_all_the_time(micropython: MicroPython) -> None:
    """A window of measured stretches ends in the middle of an answer, whose memory is freed later: that is no leak."""
    said = run_steps(micropython, CLOSES, MEASURED, ", heap=4096")
    assert said < 120
