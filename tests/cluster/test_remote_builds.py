"""Programs that other hosts build: images and errors come back as from a compiler here, also when a worker dies."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from tests.cluster.nats_servers import NatsServer

from microclaw.apps import remote_builds
from microclaw.apps.building import Compile, ProgramImage, ProgramLanguage, cached_compiler
from microclaw.apps.remote_build_codec import Left, encode_news
from microclaw.apps.remote_builds import CompileWorker, RemoteCompiler
from microclaw.boards import load_board
from microclaw.boards.profile import BoardProfile
from microclaw.builds.cache import BuildCache
from microclaw.cluster.connection import Cluster, connected, subscribed
from microclaw.cluster.pieces import cut
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.errors import BuildError, ConfigError, DeployRejected, Overloaded, StoreError, ToolFailed
from microclaw.events import ProgramKind
from microclaw.py.image import PyImage
from microclaw.wasm import Image

LIMIT_S = 60.0
BOARD = load_board("virtual")
BLINK = '#include "microclaw.h"\nint main(void) { int led = gpio_open(2, GPIO_OUT); gpio_set(led, 1); return 0; }\n'
PYTHON = "from machine import Pin\nPin(2, Pin.OUT).value(1)\n"


@dataclass
class ScriptedBuilds:
    """A `Compile` whose builds end when they may."""

    image: ProgramImage
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    count: int = 0

    async def compile(
        self,
        source: str,
        board: BoardProfile,
        name: str,
        optimization: str,
        language: ProgramLanguage | None = None,
        kinds: Sequence[ProgramKind] = ("wasm",),
    ) -> ProgramImage:
        assert board == BOARD
        self.count += 1
        self.begun.set()
        await self.may_end.wait()
        return self.image


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """A real compiler of this machine, whose results the tests of this file share."""
    return cached_compiler(BuildCache(tmp_path_factory.mktemp("builds")))


@pytest.fixture
async def cluster(nats_server: NatsServer, cluster_name: str) -> AsyncIterator[Cluster]:
    async with connected(ClusterSettings(nats=nats_server.url, name=cluster_name), name="asker") as opened:
        yield opened


@asynccontextmanager
async def asking(cluster: Cluster, live: set[str] | None = None) -> AsyncIterator[RemoteCompiler]:
    remote = RemoteCompiler(cluster, f"asker-{secrets.token_hex(2)}", (live or {"worker"}).__contains__)
    async with asyncio.timeout(LIMIT_S), remote.serving():
        yield remote


def worker(cluster: Cluster, build: Compile, host_id: str = "worker") -> CompileWorker:
    return CompileWorker(cluster, host_id, build)


async def test_a_program_in_c_is_the_one_that_is_built_here(cluster: Cluster, here: Compile) -> None:
    wanted = await here(BLINK, BOARD, "blink", "O3")
    async with worker(cluster, here).serving(), asking(cluster) as remote:
        found = await remote(BLINK, BOARD, "blink", "O3")
    assert isinstance(found, Image)
    assert isinstance(wanted, Image)
    assert replace(found, compile_ms=0.0, cached=False) == replace(wanted, compile_ms=0.0, cached=False)


async def test_a_python_program_is_the_one_that_is_built_here(cluster: Cluster, here: Compile) -> None:
    wanted = await here(PYTHON, BOARD, "glow", "O3", None, ("py",))
    async with worker(cluster, here).serving(), asking(cluster) as remote:
        found = await remote(PYTHON, BOARD, "glow", "O3", None, ("py",))
    assert isinstance(found, PyImage)
    assert isinstance(wanted, PyImage)
    assert replace(found, compile_ms=0.0, cached=False) == replace(wanted, compile_ms=0.0, cached=False)


async def test_a_wrong_source_has_the_same_diagnostics(cluster: Cluster, here: Compile) -> None:
    wrong = BLINK.replace("gpio_set(led, 1)", "gpio_set(led, one)")
    with pytest.raises(BuildError) as wanted:
        await here(wrong, BOARD, "blink", "O3")
    async with worker(cluster, here).serving(), asking(cluster) as remote:
        with pytest.raises(BuildError) as found:
            await remote(wrong, BOARD, "blink", "O3")
    assert found.value.diagnostics == wanted.value.diagnostics
    assert (found.value.stage, found.value.next_step) == (wanted.value.stage, wanted.value.next_step)
    assert str(found.value) == str(wanted.value)


async def test_a_kind_that_a_device_does_not_take_is_refused(cluster: Cluster, here: Compile) -> None:
    async with worker(cluster, here).serving(), asking(cluster) as remote:
        with pytest.raises(DeployRejected, match="the device's firmware takes Python"):
            await remote(BLINK, BOARD, "blink", "O3", "c", ("py",))


async def test_a_source_that_is_too_long_is_refused_before_it_is_sent(cluster: Cluster) -> None:
    async with asking(cluster) as remote:
        with pytest.raises(BuildError, match="more than is sent"):
            await remote("/" * (1 << 20), BOARD, "long", "O3")


async def test_without_a_worker_it_is_said_at_once(cluster: Cluster) -> None:
    async with asking(cluster) as remote:
        with pytest.raises(ConfigError, match="no live host of the cluster builds programs") as caught:
            await remote(BLINK, BOARD, "blink", "O3")
    assert "--roles" in (caught.value.next_step or "")


async def test_without_nats_it_is_said_at_once(nats_server: NatsServer, cluster_name: str) -> None:
    settings = ClusterSettings(nats=nats_server.url, name=cluster_name)
    async with connected(settings, name="asker") as cluster, asking(cluster) as remote:
        await cluster.client.close()
        with pytest.raises(StoreError, match="programs are built by other hosts: NATS cannot be reached"):
            await remote(BLINK, BOARD, "blink", "O3")


async def test_each_program_is_built_by_one_of_the_workers(cluster: Cluster, here: Compile) -> None:
    image = await here(BLINK, BOARD, "blink", "O3")
    east, west = ScriptedBuilds(image), ScriptedBuilds(image)
    east.may_end.set()
    west.may_end.set()
    async with (
        worker(cluster, east.compile, "east").serving(),
        worker(cluster, west.compile, "west").serving(),
        asking(cluster, {"east", "west"}) as remote,
    ):
        found = await asyncio.gather(*(remote(BLINK, BOARD, "blink", "O3") for _ in range(12)))
    assert found == [image] * 12
    assert east.count + west.count == 12


async def test_what_a_dead_worker_had_is_built_by_another(cluster: Cluster, here: Compile) -> None:
    """It has the order, its lease ends, and nothing more is heard of it."""
    image, live = await here(BLINK, BOARD, "blink", "O3"), {"dies", "stays"}
    dying, staying = ScriptedBuilds(image), ScriptedBuilds(image)
    staying.may_end.set()
    async with asking(cluster, live) as remote, worker(cluster, dying.compile, "dies").serving():
        asked = asyncio.create_task(remote(BLINK, BOARD, "blink", "O3"))
        await dying.begun.wait()
        async with worker(cluster, staying.compile, "stays").serving():
            live.discard("dies")
            while not asked.done():  # NATS may choose the dead one again, as it still listens here
                await asyncio.wait([asked], timeout=0.1)
                if dying.count > 1:
                    dying.may_end.set()
            assert await asked == image
    assert staying.count + dying.count > 1


async def test_what_a_worker_that_leaves_had_is_built_by_another(cluster: Cluster, here: Compile) -> None:
    image = await here(BLINK, BOARD, "blink", "O3")
    leaving, staying = ScriptedBuilds(image), ScriptedBuilds(image)
    staying.may_end.set()
    async with asking(cluster, {"leaves", "stays"}) as remote:
        async with worker(cluster, leaving.compile, "leaves").serving():
            asked = asyncio.create_task(remote(BLINK, BOARD, "blink", "O3"))
            await leaving.begun.wait()
            following = worker(cluster, staying.compile, "stays").serving()
            await following.__aenter__()
        try:
            assert await asked == image
        finally:
            await following.__aexit__(None, None, None)
    assert (leaving.count, staying.count) == (1, 1)


async def test_a_worker_with_too_many_orders_says_so(cluster: Cluster, here: Compile) -> None:
    image = await here(BLINK, BOARD, "blink", "O3")
    builds = ScriptedBuilds(image)
    async with worker(cluster, builds.compile).serving(), asking(cluster) as remote:
        asked = [asyncio.create_task(remote(BLINK, BOARD, "blink", "O3")) for _ in range(remote_builds.MAX_ORDERS + 1)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(Overloaded, match="are built, or wait for it, at worker"):
            await done.pop()
        builds.may_end.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
    assert found.count(image) == remote_builds.MAX_ORDERS


async def test_a_fault_of_a_worker_is_told_and_others_are_served_on(cluster: Cluster, here: Compile) -> None:
    failures = [RuntimeError("a fault of the worker's own")]

    async def build(
        source: str,
        board: BoardProfile,
        name: str,
        optimization: str,
        language: ProgramLanguage | None = None,
        kinds: Sequence[ProgramKind] = ("wasm",),
    ) -> ProgramImage:
        if failures:
            raise failures.pop()
        return await here(source, board, name, optimization, language, kinds)

    async with worker(cluster, build).serving(), asking(cluster) as remote:
        with pytest.raises(ToolFailed, match="the host worker failed while it built the program"):
            await remote(BLINK, BOARD, "blink", "O3")
        assert (await remote(BLINK, BOARD, "blink", "O3")).name == "blink"


async def test_workers_that_all_leave_are_not_waited_for_without_end(cluster: Cluster) -> None:
    async def leave(message: object) -> None:
        for piece in cut(encode_news(Left("worker"))):
            await cluster.client.publish(message.reply, piece)  # type: ignore[attr-defined]

    async with subscribed(cluster, f"{cluster.prefix}.compile", leave), asking(cluster) as remote:
        with pytest.raises(ToolFailed, match="the hosts that had it ended"):
            await remote(BLINK, BOARD, "blink", "O3")


async def test_bytes_that_are_no_program_are_refused(cluster: Cluster, here: Compile) -> None:
    """By a worker that goes on working."""
    async with worker(cluster, here).serving(), asking(cluster) as remote:
        await cluster.client.publish(f"{cluster.prefix}.compile", b"\xc1", reply=f"{cluster.prefix}.host.x.built.1")
        await cluster.client.publish(f"{cluster.prefix}.compile", b"\xc1", reply="elsewhere")
        assert (await remote(BLINK, BOARD, "blink", "O3")).name == "blink"
