"""A host in this process whose virtual board has parts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.interfaces.api.people_host import PeopleHost, people_host

from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.hardware.parts.wiring import wiring_tables
from microclaw.programs.bench.hands import board_control
from microclaw.wire.board_control import Wire

WIRED = (
    "btn1=button pin=4 resistor=1",
    "btn2=button pin=18 resistor=1 bounce_ms=0",
    "pot1=potentiometer pin=1",
    "dht1=dht22 data=5",
    "enc1=rotary_encoder clk=6 dt=7 sw=15",
    "kp1=keypad r1=10 r2=11 r3=12 r4=13 c1=14 c2=16 c3=17",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PeopleHost]:
    async with people_host(tmp_path_factory.mktemp("hands") / "home") as running:
        await wire(running, *WIRED)
        yield running


async def wire(host: PeopleHost, *lines: str) -> VirtualBoardTransport:
    """Record what is wired to virtual-1, and give it to the board, which is not one of the host's own."""
    await host.ask("owner", "PUT", "/v1/devices/virtual-1/wiring", {"file": ""})
    status, answer = await host.ask("owner", "PATCH", "/v1/devices/virtual-1/wiring", {"add": list(lines)})
    assert status == 200, answer
    control = board_control(host.device)
    await control.request(Wire(wiring_tables(host.device.wiring)))
    return control
