"""The sandbox: what a start costs over the bare process, how soon a job is dead, many at once, a request."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from bench.report import Metric, median
from microclaw.host.sandbox.job import SandboxJob
from microclaw.host.sandbox.run import run_sandboxed, sandbox_backend

RUNS = 20
TOGETHER = 16
REQUESTS = 200
TRUE = ("/usr/bin/true",)
PYTHON = ("python3", "-I", "-S", "-c", "pass")
_ASK = f"""
import socket, sys, time
socket_of = sys.argv[1] if len(sys.argv) > 1 else None
def ask():
    if socket_of:
        link = socket.socket(socket.AF_UNIX); link.connect(socket_of)
    else:
        link = socket.create_connection(("127.0.0.1", 8118))
    link.sendall(b"GET http://a/ HTTP/1.1\\r\\n\\r\\n")
    while link.recv(4096): pass
    link.close()
ask()
began = time.perf_counter()
for _ in range({REQUESTS}): ask()
print((time.perf_counter() - began) / {REQUESTS} * 1000)
"""


def measure() -> list[Metric]:
    sandbox_backend()  # the first look is not a job's
    return asyncio.run(_measure())


async def _measure() -> list[Metric]:
    with tempfile.TemporaryDirectory() as made:
        tmp = Path(made)
        bare, inside = await _started(TRUE, tmp)
        bare_python, inside_python = await _started(PYTHON, tmp)
        killed = [await _killed_ms(tmp) for _ in range(RUNS)]
        together = await _together_ms(tmp)
        straight, inside_a_job = await _asked(tmp)
    return [
        Metric("start of `true` over the bare process", inside - bare, "ms", 30.0),
        Metric("start of Python over the bare process", inside_python - bare_python, "ms", 30.0),
        Metric("  / the bare process", inside_python / bare_python, "x"),
        Metric("dead after its cancelling", max(killed), "ms", 1000.0),
        Metric(f"{TOGETHER} jobs at once, each", together / TOGETHER, "ms"),
        Metric("a request of a job over one of a unix socket", inside_a_job - straight, "ms", 2.0),
    ]


async def _started(command: tuple[str, ...], tmp: Path) -> tuple[float, float]:
    """Milliseconds of the bare process and of a job with it, medians of turns."""
    bare = []
    inside = []
    for _ in range(RUNS):
        began = time.perf_counter()
        await asyncio.to_thread(subprocess.run, command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        bare.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        end = await run_sandboxed(SandboxJob(command=command), tmp, lambda _: None)
        inside.append((time.perf_counter() - began) * 1000)
        assert end.exit_code == 0, end.reason
    return median(bare), median(inside)


async def _killed_ms(tmp: Path) -> float:
    """From the cancelling of a job with children that ignore signals to the moment when none of them lives."""
    begun = asyncio.Event()
    job = SandboxJob(command=["sh", "-c", "trap '' TERM; setsid sleep 60 & sleep 60 & echo begun; wait"])
    task = asyncio.ensure_future(run_sandboxed(job, tmp, lambda _: begun.set()))
    await begun.wait()
    asked = time.perf_counter()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return (time.perf_counter() - asked) * 1000


async def _together_ms(tmp: Path) -> float:
    began = time.perf_counter()
    jobs = (run_sandboxed(SandboxJob(command=PYTHON), tmp / str(n), lambda _: None) for n in range(TOGETHER))
    ends = await asyncio.gather(*jobs)
    assert all(end.exit_code == 0 for end in ends)
    return (time.perf_counter() - began) * 1000


async def _asked(tmp: Path) -> tuple[float, float]:
    """Milliseconds a request of a server on a unix socket: straight from this machine, and from a job."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 \r\n\r\n")
        writer.close()

    async def serve(at: socket.socket) -> None:
        async with await asyncio.start_server(answer, sock=at) as server:
            await server.serve_forever()

    words = ["python3", "-c", _ASK, str(tmp / "proxy.sock")]
    async with await asyncio.start_unix_server(answer, tmp / "proxy.sock"):
        done = await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True)
    job = SandboxJob(command=["python3", "-c", _ASK])
    printed = bytearray()
    await run_sandboxed(job, tmp / "asked", printed.extend, proxy=serve)
    return float(done.stdout), float(printed)
