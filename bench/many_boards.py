"""The same act on one virtual board and on fifty, fifty boards that each run a program, the programs of 300 boards."""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

from bench.processes import cpu_s, rss_mb
from bench.report import Metric, median
from microclaw.app import running_host
from microclaw.devices.registry.registry import Registry
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.hardware.boards import load_board
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import Client
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.wasm.compile import compile_module
from microclaw.wire.host_api import StreamResult

BOARDS = 50
LISTED = 300
RUNS = 9
COMPILES = 8
_PATTERNS = Path(__file__).parent.parent / "src" / "microclaw" / "programs" / "patterns"
BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(2, GPIO_OUT); every(500, tick); }
"""


def measure() -> list[Metric]:
    return asyncio.run(_measure())


async def _measure() -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as home:
        settings = load_settings({}, home=Path(home), http_port=0)
        async with running_host(settings) as host, _boards() as boards:
            client = Client(settings.control_socket)
            await _more(boards, host.devices, BOARDS)
            acts = await _acts(client, boards)
            installed = await _installed(client, boards)
            at_rest = await _at_rest(boards)
            await _more(boards, host.devices, LISTED)
            listed = [await _wall(asyncio.to_thread(client.get, "/v1/apps")) for _ in range(3)]
        return [
            *acts,
            *installed,
            *at_rest,
            Metric(f"programs of {LISTED} boards listed", median(listed), "s", 5.0),
            *await _compiles(Path(home)),
        ]


@asynccontextmanager
async def _boards() -> AsyncIterator[list[VirtualBoardProcess]]:
    """A list whose boards are stopped together at the end."""
    boards: list[VirtualBoardProcess] = []
    try:
        yield boards
    finally:
        await asyncio.gather(*(board.__aexit__(None, None, None) for board in boards))


async def _more(boards: list[VirtualBoardProcess], devices: Registry, count: int) -> None:
    """Start boards, as many at once as there are cores, and let the host know them."""
    free = asyncio.Semaphore(os.cpu_count() or 2)

    async def one(number: int) -> VirtualBoardProcess:
        async with free:
            board = VirtualBoardProcess(name=f"b{number}")
            await board.__aenter__()
        await devices.add(f"b{number}", "virtual", board.ready.transports)
        return board

    boards += await asyncio.gather(*(one(number) for number in range(len(boards), count)))


async def _acts(client: Client, boards: list[VirtualBoardProcess]) -> list[Metric]:
    """`gpio.set` through the API: on all at once, and on each of them alone, in turn."""

    def call(names: list[str]) -> None:
        done = client.post("/v1/call", {"method": "gpio.set", "arguments": {"pin": 4, "level": 1}, "devices": names})
        assert done["failed"] == 0, done

    for board in boards:
        await asyncio.to_thread(call, [board.name])
    ratios = []
    each_ms = []
    took_s = []
    for number in range(RUNS):
        names = [board.name for board in boards]
        began = time.perf_counter()
        together = await _cpu(boards, asyncio.to_thread(call, names))
        took_s.append(time.perf_counter() - began)
        alone = 0.0
        for board in boards[number : number + 5]:
            alone += await _cpu(boards, asyncio.to_thread(call, [board.name]))
        ratios.append(together / BOARDS / (alone / 5))
        each_ms.append(together / BOARDS * 1000)
    return [
        Metric(f"an order on {BOARDS} boards, CPU each / alone", median(ratios), "x", 1.3),
        Metric(f"an order on {BOARDS} boards, CPU each", median(each_ms), "ms"),
        Metric(f"an order on {BOARDS} boards, until the last one did it", median(took_s), "s"),
    ]


async def _installed(client: Client, boards: list[VirtualBoardProcess]) -> list[Metric]:
    """A program that is built already: on one board, then on all the others; each checked, tried and watched."""

    def install(names: list[str]) -> None:
        body = {"name": "blink", "source": BLINK, "language": "c", "devices": names}
        *_, last = client.stream("/v1/apps", body)
        assert isinstance(last, StreamResult), last
        assert last.value["failed"] == 0, last.value

    names = [board.name for board in boards]
    await asyncio.to_thread(install, names[:1])
    alone = [await _cpu(boards, asyncio.to_thread(install, [name])) for name in names[1:4]]
    began = time.perf_counter()
    together = await _cpu(boards, asyncio.to_thread(install, names[4:]))
    took_s = time.perf_counter() - began
    each = together / len(names[4:])
    return [
        Metric(f"a program on {len(names) - 4} boards, CPU each / alone", each / median(alone), "x", 1.3),
        Metric(f"a program on {len(names) - 4} boards, until the last one is verified", took_s, "s"),
    ]


async def _at_rest(boards: list[VirtualBoardProcess]) -> list[Metric]:
    """All boards run a program that toggles a pin twice a second."""
    used = await _cpu(boards, asyncio.sleep(10))
    return [
        Metric(f"{BOARDS} boards that each run a program, and the host: share of a core", used / 10, "cores", 2.0),
        Metric("memory of a virtual board", median([rss_mb(board.ready.pid) for board in boards]), "MB"),
    ]


async def _compiles(home: Path) -> list[Metric]:
    """Eight different sources one after the other, and at once: on two cores it takes half the time at best."""
    board = load_board("virtual")
    cache = BuildCache(home / "builds")
    source = (_PATTERNS / "blink_events.c").read_text()
    edits = iter(range(1000))

    async def compile_one() -> None:
        text = source.replace("{", f"{{ /* {next(edits)} */", 1) + f"\nint edit{next(edits)};\n"
        await compile_module(text, board, name="blink", cache=cache)

    await compile_one()
    serial = [await _wall(compile_one()) for _ in range(COMPILES)]
    at_once = await _wall(asyncio.gather(*(compile_one() for _ in range(COMPILES))))
    return [Metric(f"{COMPILES} builds at once / one after the other", at_once / sum(serial), "x", 0.7)]


async def _cpu(boards: list[VirtualBoardProcess], act: Awaitable[object]) -> float:
    """Processor time of host, boards and trial boards that ended, in seconds."""
    pids = [os.getpid(), *(board.ready.pid for board in boards)]

    def used() -> float:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return sum(map(cpu_s, pids)) + ended.ru_utime + ended.ru_stime

    before = used()
    await act
    return used() - before


async def _wall(act: Awaitable[object]) -> float:
    began = time.perf_counter()
    await act
    return time.perf_counter() - began
