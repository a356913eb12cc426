"""The page in Chromium: first paint, an edge's way to it, 60 boards with live pins, 10,000 log lines a second, a week.

Chromium draws in software here, on the cores that host and boards use too: beside the frames stands what the page's own
scripts, styles and layout took of each.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, CDPSession, Page, async_playwright, expect

from bench.processes import Running, cpu_s, private_home, running
from bench.report import Metric, median, percentile
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.host.operations.client import Client
from microclaw.wire.host_api import StreamResult

BOARDS = 60
PINS = (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 21, 38, 39)  # 20 that may be switched
LOADS = 7
EDGES = 40
WATCHED_S = 10
KEYS = 40
ROUNDS = 28  # of six hours: a week
WARM_UP = 8  # rounds
ROUND_S = 6 * 3600
WAIT_MS = 120_000
ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
TOGGLE = """#include "microclaw.h"
static int open[{count}];
static void tick(void) {{ for (int i = 0; i < {count}; i++) gpio_toggle(open[i]); }}
void on_init(void) {{ {opening} every({half_ms}, tick); }}
"""
PRINT = """#include "microclaw.h"
static unsigned n;
static void tick(void) { for (int i = 0; i < 105; i++) printf("line %u of a talkative program, one of many\\n", n++); }
void on_init(void) { every(10, tick); }
"""
_FRAMES = """seconds => new Promise(done => {
  const [began, times] = [performance.now(), []];
  const frame = now => {
    times.push(now);
    if (now - began < seconds * 1000) requestAnimationFrame(frame);
    else done(times);
  };
  requestAnimationFrame(frame);
})"""
_WATCH_PIN = """async ([board, pin]) => {
  const { pins } = await import("/page/pins.js");
  window.seen = [];
  let count = -1;
  const frame = () => {
    const now = pins.of(board).tracks.get(pin)?.t.length ?? 0;
    if (count >= 0 && now > count) window.seen.push(performance.timeOrigin + performance.now());
    count = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
_WATCH_KEYS = """() => {
  window.delays = [];
  document.addEventListener("input", event => requestAnimationFrame(() => setTimeout(() =>
    window.delays.push(performance.now() - event.timeStamp))), true);
}"""


def measure() -> list[Metric]:
    return asyncio.run(_measure())


@dataclass(frozen=True, slots=True)
class _Bench:
    host: Running
    client: Client
    browser: Browser
    url: str

    async def link(self) -> str:
        made = await asyncio.to_thread(self.client.post, "/v1/signin/links", {"person": "owner"})
        return self.url + str(made["path"])

    @asynccontextmanager
    async def page(self, path: str, *, height: int = 900) -> AsyncIterator[tuple[Page, CDPSession]]:
        """A page of an empty profile that is signed in and shows this view, and what its debugger says."""
        context = await self.browser.new_context(viewport={"width": 1280, "height": height})
        context.set_default_timeout(WAIT_MS)
        try:
            page = await context.new_page()
            await page.goto(await self.link())
            await page.get_by_role("navigation", name="Views").wait_for()
            await page.goto(self.url + path)
            await expect(page.locator(".connection")).to_have_attribute("data-live", "stream")
            devtools = await context.new_cdp_session(page)
            await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
            yield page, devtools
        finally:
            await context.close()


async def _measure() -> list[Metric]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        print("page: left out, there is no chromium; next: sudo make setup-system", flush=True)
        return []
    expect.set_options(timeout=WAIT_MS)
    async with AsyncExitStack() as stack:
        environ = stack.enter_context(private_home())
        host = stack.enter_context(
            running("microclaw", "up", "--json", "--port", "0", "--link", "off", environ=environ)
        )
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=path, args=ARGS)
        stack.push_async_callback(browser.close)
        client = Client(Path(environ["MICROCLAW_HOME"]) / "control.sock")
        bench = _Bench(host, client, browser, str(host.facts["http"]))
        await _more(stack, client, range(1))
        await _install(client, "first", _toggle(PINS[:10], 500), ["b0"])
        await _install(client, "second", _toggle(PINS[10:], 700), ["b0"])
        found = [*await _loads(bench), *await _edge(bench), *await _twenty_pins(bench), *await _week(bench)]
        await _install(client, "second", PRINT, ["b0"])
        found += await _lines(bench)
        await _install(client, "second", _toggle(PINS[10:], 700), ["b0"])
        await _more(stack, client, range(1, BOARDS))
        await _install(client, "blink", _toggle(PINS[:3], 500), [f"b{number}" for number in range(1, BOARDS)])
        return found + await _sixty(bench)


def _toggle(pins: Sequence[int], half_ms: int) -> str:
    opening = " ".join(f"open[{i}] = gpio_open({pin}, GPIO_OUT);" for i, pin in enumerate(pins))
    return TOGGLE.format(count=len(pins), opening=opening, half_ms=half_ms)


async def _more(stack: AsyncExitStack, client: Client, numbers: range) -> None:
    """Start boards, as many at once as there are cores, and let the host know them."""
    free = asyncio.Semaphore(os.cpu_count() or 2)

    async def one(number: int) -> None:
        async with free:
            board = await stack.enter_async_context(VirtualBoardProcess(name=f"b{number}"))
        body = {"name": board.name, "board": "virtual", "transports": list(board.ready.transports)}
        await asyncio.to_thread(client.post, "/v1/devices", body)

    await asyncio.gather(*map(one, numbers))


async def _install(client: Client, name: str, source: str, boards: list[str]) -> None:
    def install() -> None:
        *_, last = client.stream("/v1/apps", {"name": name, "source": source, "language": "c", "devices": boards})
        assert isinstance(last, StreamResult), last
        assert last.value["failed"] == 0, last.value

    await asyncio.to_thread(install)


async def _loads(bench: _Bench) -> list[Metric]:
    """A browser that has nothing yet opens a link: until something is painted, until the board stands there."""
    painted = []
    listed = []
    size = []
    for _ in range(LOADS):
        context = await bench.browser.new_context()
        page = await context.new_page()
        await page.goto(await bench.link())
        listed.append(await _when(page, "document.querySelector('.card') && performance.now()"))
        painted.append(await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        kinds = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        size.append(await page.evaluate(f"{kinds}.reduce((sum, one) => sum + one.transferSize, 0) / 1000"))
        await context.close()
    return [
        Metric("first paint, empty cache, median", median(painted), "ms", 300),
        Metric("boards listed, empty cache, median", median(listed), "ms"),
        Metric("all that is loaded until then", max(size), "KB", 250),
    ]


async def _edge(bench: _Bench) -> list[Metric]:
    """Orders to a pin while a page shows it: from the moment an order is sent until the frame that has its edge."""
    took_ms = []
    ordered_ms = []
    async with bench.page("/boards/b0/pins") as (page, _):
        await _order(bench.client, level=1)
        await page.locator("li[data-pin='3']").wait_for()
        await page.evaluate(_WATCH_PIN, ["b0", 3])
        await _when(page, "window.seen && 1")
        for number in range(EDGES):
            await asyncio.sleep(0.1 + random.random() / 10)
            began = time.time()
            await _order(bench.client, level=number % 2)
            ordered_ms.append((time.time() - began) * 1000)
            took_ms.append(await _when(page, f"window.seen[{number}]") - began * 1000)
    return [
        Metric("an order until its edge is on the page, p50", median(took_ms), "ms"),
        Metric("an order until its edge is on the page, p95", percentile(took_ms, 95), "ms", 100),
        Metric("of that the order until its answer, p50", median(ordered_ms), "ms"),
    ]


async def _order(client: Client, *, level: int) -> None:
    call = {"method": "gpio.set", "arguments": {"pin": 3, "level": level}}
    await asyncio.to_thread(client.post, "/v1/devices/b0/call", call)


async def _twenty_pins(bench: _Bench) -> list[Metric]:
    async with bench.page("/boards/b0/pins") as (page, devtools):
        await expect(page.locator("li[data-pin]")).to_have_count(len(PINS) + 1)
        watched = await _watched(bench, page, devtools)
    name = f"{len(PINS)} live pins"
    quiet = await _host_share(bench.host, asyncio.sleep(WATCHED_S))
    return [
        Metric(f"{name}: the host's share of a core", watched.host_percent, "%", 3),
        Metric("the host's share without a page", quiet, "%"),
        Metric(f"{name}: frames a second", watched.frames_s, "/s", 50, at_least=True),
        Metric(f"{name}: CPU of scripts, styles and layout a frame", watched.work_ms, "ms"),
    ]


async def _sixty(bench: _Bench) -> list[Metric]:
    """All boards' pins at once, all of them in sight."""
    async with bench.page("/boards", height=1200) as (page, devtools):
        await expect(page.locator(".card")).to_have_count(BOARDS)
        await page.get_by_label("live pins").check()
        await expect(page.locator("canvas.live")).to_have_count(BOARDS)
        await page.evaluate("import('/page/pins.js').then(found => { window.pins = found.pins; })")
        await _when(page, f"[...window.pins.boards.values()].filter(board => board.count > 50).length >= {BOARDS}")
        await page.get_by_label(f"the pins of b{BOARDS - 1} ").wait_for()
        watched = await _watched(bench, page, devtools)
    name = f"{BOARDS} boards with live pins"
    return [
        Metric(f"{name}: frames a second", watched.frames_s, "/s", 50, at_least=True),
        Metric(f"{name}: longest time between two frames", watched.longest_ms, "ms"),
        Metric(f"{name}: CPU of scripts, styles and layout a frame", watched.work_ms, "ms", 4),
        Metric(f"{name}: the browser's share of a core", watched.browser_percent, "%"),
        Metric(f"{name}: the host's share of a core", watched.host_percent, "%"),
    ]


async def _lines(bench: _Bench) -> list[Metric]:
    """The log of a board that prints 10,000 lines a second, while somebody types in its search."""
    async with bench.page("/boards/b0/log") as (page, devtools):
        status = page.get_by_role("status").last
        search = page.get_by_label("Search")
        await expect(status).to_contain_text("older ones left out")
        await page.evaluate(_WATCH_KEYS)
        before = await asyncio.to_thread(bench.client.get, "/v1/devices/b0/logs?cursor=4503599627370496")
        began = time.perf_counter()
        for number in range(KEYS):
            await search.press("line"[number % 4] if number % 8 < 4 else "Backspace")
            await asyncio.sleep(0.1)
        after = await asyncio.to_thread(bench.client.get, "/v1/devices/b0/logs?cursor=4503599627370496")
        printed_s = (after["cursor"] - before["cursor"]) / (time.perf_counter() - began)
        delays = [float(one) for one in await page.evaluate("window.delays")]
        watched = await _watched(bench, page, devtools)
        heap_mb = await _heap_mb(devtools)
        nodes = (await devtools.send("Memory.getDOMCounters"))["nodes"]
    return [
        Metric("log: lines that the board prints a second", printed_s, "/s", 10_000, at_least=True),
        Metric("log: a key until the frame after it, p95", percentile(delays, 95), "ms", 100),
        Metric("log: frames a second", watched.frames_s, "/s"),
        Metric("log: longest time between two frames", watched.longest_ms, "ms"),
        Metric("log: the host's share of a core", watched.host_percent, "%"),
        Metric("log: JS heap, with the newest 5,000 lines", heap_mb, "MB", 20),
        Metric("log: DOM nodes", float(nodes), ""),
    ]


async def _week(bench: _Bench) -> list[Metric]:
    """Seven days by the page's clock, set forward; edges, log and orders come all the time, and each view is opened."""
    async with bench.page("/boards/b0/pins") as (page, devtools):
        await page.clock.install()
        await page.reload()
        begin: tuple[float, int, int] | None = None
        for number in range(ROUNDS):
            await _visit(bench, page, number)
            await page.clock.fast_forward(ROUND_S * 1000)
            await expect(page.locator(".connection")).to_have_attribute("data-live", "stream")
            if number == WARM_UP:
                begin = await _kept(devtools)
        end = await _kept(devtools)
    assert begin is not None
    return [
        Metric("a week: JS heap after the first two days", begin[0], "MB"),
        Metric("a week: JS heap at the end", end[0], "MB", begin[0] * 1.1 + 0.5),
        Metric("a week: DOM nodes more at the end", end[1] - begin[1], "", 50),
        Metric("a week: listeners more at the end", end[2] - begin[2], "", 10),
    ]


async def _visit(bench: _Bench, page: Page, number: int) -> None:
    for tab, sign in (
        ("log", "pre.log"),
        ("programs", "main ul.rows"),
        ("facts", "dl.facts"),
        ("pins", "canvas.timeline"),
    ):
        await page.get_by_role("link", name=tab, exact=True).click()
        await page.locator(sign).wait_for()
    await _order(bench.client, level=number % 2)
    row = page.locator("li[data-pin='5']")
    before = await row.get_attribute("data-edges")
    await expect(row).not_to_have_attribute("data-edges", str(before))


async def _kept(devtools: CDPSession) -> tuple[float, int, int]:
    heap_mb = await _heap_mb(devtools)
    counters = await devtools.send("Memory.getDOMCounters")
    return heap_mb, counters["nodes"], counters["jsEventListeners"]


async def _heap_mb(devtools: CDPSession) -> float:
    for _ in range(3):
        await devtools.send("HeapProfiler.collectGarbage")
    return float((await devtools.send("Runtime.getHeapUsage"))["usedSize"]) / 1e6


async def _when(page: Page, expression: str) -> float:
    """The value of this in the first frame that has one. (wait_for_function would be stopped by the page's policy.)"""
    look = f"const found = {expression}; if (found) done(found); else requestAnimationFrame(look);"
    return float(await page.evaluate(f"new Promise(done => {{ const look = () => {{ {look} }}; look(); }})"))


@dataclass(frozen=True, slots=True)
class _Watched:
    frames_s: float
    longest_ms: float
    work_ms: float  # of the processor, not of the clock
    host_percent: float
    browser_percent: float


async def _watched(bench: _Bench, page: Page, devtools: CDPSession) -> _Watched:
    """The page's frames for a while, its own work for each, and what the host took."""
    pids = _browser_pids()
    before = await _work_s(devtools)
    used = bench.host.cpu_s()
    drawn = sum(map(cpu_s, pids))
    times = [float(one) for one in await page.evaluate(_FRAMES, WATCHED_S)]
    took_s = (times[-1] - times[0]) / 1000
    work_s = await _work_s(devtools) - before
    host_s = bench.host.cpu_s() - used
    browser_s = sum(map(cpu_s, pids)) - drawn
    gaps = [late - early for early, late in pairwise(times)]
    shares = [seconds / took_s * 100 for seconds in (host_s, browser_s)]
    return _Watched(len(gaps) / took_s, max(gaps), work_s / len(gaps) * 1000, *shares)


def _browser_pids() -> list[int]:
    """The processes of the browser below this one."""
    found = []
    looked = [os.getpid()]
    for pid in looked:  # it grows meanwhile
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            looked += map(int, children.read_text().split())
        if "chrom" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]:
            found.append(pid)
    return found


async def _work_s(devtools: CDPSession) -> float:
    metrics = {one["name"]: one["value"] for one in (await devtools.send("Performance.getMetrics"))["metrics"]}
    return float(metrics["ScriptDuration"] + metrics["LayoutDuration"] + metrics["RecalcStyleDuration"])


async def _host_share(host: Running, act: Any) -> float:
    began = time.perf_counter()
    used = host.cpu_s()
    await act
    return (host.cpu_s() - used) / (time.perf_counter() - began) * 100
