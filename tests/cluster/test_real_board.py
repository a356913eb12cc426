"""A virtual board, a process of its own, is connected to one host and worked with from another."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.two_hosts import ClusterHost, Fleet
from wasmtime import wat2wasm

from microclaw.cli.child import Child
from microclaw.devices.calls import AppInstall, AppList, AppUninstall, DeviceRestart, EdgesRead, GpioSet, LogsRead

HELLO = bytes(
    wat2wasm("""(module (import "env" "puts" (func $puts (param i32) (result i32))) (memory (export "memory") 1)
        (data (i32.const 16) "hello\\00") (func (export "on_init") i32.const 16 call $puts drop))""")
)


async def test_a_board_does_at_one_host_what_another_asks(east: ClusterHost, fleet: Fleet, tmp_path: Path) -> None:
    made = await east.plane.plane.provision("bulb")
    secret = tmp_path / "secret"
    secret.write_text(made.secret or "")
    words = ["microclaw.virtual", "--name", "bulb", "--wasmachine", "0", "--serial", "none", "--flash", str(tmp_path)]
    words += ["--control", str(tmp_path / "board.sock"), "--link", f"wss://{made.host}:{made.port}/link"]
    words += ["--link-ca-sha256", made.ca_sha256, "--link-secret-file", str(secret), "--die-with-parent"]
    with Child("board", words, log=tmp_path / "board.stderr"):
        await east.until(lambda: any(device.name == "bulb" for device in east.plane.registry.list()))
        async with fleet.host("west") as west:
            await west.until(lambda: west.device("bulb").supports("apps.install"))
            bulb = west.device("bulb")
            await bulb.call(AppInstall("hello", HELLO))
            assert [app.name for app in await bulb.call(AppList())] == ["hello"]
            await bulb.call(GpioSet(4, 1))
            edges = (await bulb.call(EdgesRead(0))).edges
            assert [(edge.pin, edge.level) for edge in edges] == [(4, 1)]
            ring = east.link(bulb.endpoints[0].removeprefix("link:")).log
            await east.until(lambda: ring.page(0).lines)
            assert ("hello", "hello") in [(line.app, line.text) for line in (await bulb.call(LogsRead(0))).lines]
            assert (await bulb.call(DeviceRestart())).seconds >= 0
            await bulb.call(AppUninstall("hello"))
            assert await bulb.call(AppList()) == ()
