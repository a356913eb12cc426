"""Hands on a virtual board over HTTP: values and verbs, bounces, refusals; no change is logged."""

from __future__ import annotations

from typing import Any

import pytest
from tests.interfaces.api.people_host import PeopleHost

from microclaw.devices.registry.calls import EdgesRead, GpioGet
from microclaw.events import Answer, Edge
from microclaw.programs.bench.hands import GAP_MS, board_control
from microclaw.wire.host_api import StreamResult

pytestmark = pytest.mark.asyncio(loop_scope="module")
PARTS = "/v1/devices/virtual-1/parts"


async def move(host: PeopleHost, part: str, body: dict[str, Any], who: str = "ada") -> tuple[int, Any]:
    if "verb" in body:
        return await host.ask(who, "POST", f"{PARTS}/{part}/do", body)
    return await host.ask(who, "PATCH", f"{PARTS}/{part}", body)


async def test_values_are_set_at_once(host: PeopleHost) -> None:
    status, moved = await move(host, "btn1", {"values": {"pressed": 1}})
    assert (status, moved["part"], moved["values"]) == (200, "btn1", {"pressed": 1.0})
    # Its contacts bounce.
    while (await host.device.call(GpioGet(4))).level:
        pass
    assert (await move(host, "btn1", {"values": {"pressed": 0}}))[0] == 200
    status, moved = await move(host, "pot1", {"settings": ["70%"]})
    assert (status, moved["values"]) == (200, {"position": 70.0})
    status, moved = await move(host, "dht1", {"settings": ["temperature=25 °C", "humidity=40"]})
    assert (status, moved["values"]) == (200, {"temperature": 25.0, "humidity": 40.0})


async def test_a_press_bounces_and_ends_by_itself(host: PeopleHost) -> None:
    before = await host.device.call(EdgesRead(0))
    status, moved = await move(host, "btn1", {"verb": "press", "for_ms": 50})
    assert (status, moved["values"], moved["for_ms"]) == (200, {"pressed": 1.0}, 50.0)
    control = board_control(host.device)
    of_button: list[Edge] = []
    while not of_button or of_button[-1].level == 0 or of_button[-1].t_ms < moved["now_ms"] + 50:
        edges = await control.edges(before.cursor)
        of_button = [edge for edge in edges.edges if edge.pin == 4]
    assert len(of_button) > 2
    assert of_button[-1].t_ms - of_button[0].t_ms >= 40


async def test_two_presses_are_two(host: PeopleHost) -> None:
    before = await host.device.call(EdgesRead(0))
    status, moved = await move(host, "btn2", {"verb": "press", "for_ms": 50, "times": 2})
    assert (status, moved["for_ms"], moved["times"]) == (200, 50.0, 2)
    control = board_control(host.device)
    of_button: list[Edge] = []
    while len(of_button) < 4:
        edges = await control.edges(before.cursor)
        of_button = [edge for edge in edges.edges if edge.pin == 18]
    assert [edge.level for edge in of_button] == [0, 1, 0, 1]
    assert of_button[2].t_ms >= moved["now_ms"] + 50 + GAP_MS


async def test_verbs_take_numbers_and_keys(host: PeopleHost) -> None:
    status, moved = await move(host, "enc1", {"verb": "turn", "argument": "-3"})
    assert (status, moved["values"], moved["for_ms"]) == (200, {"turn": -3.0}, None)
    status, moved = await move(host, "kp1", {"verb": "press", "argument": "5"})
    assert (status, moved["values"], moved["for_ms"]) == (200, {"5": 1.0}, 100.0)


@pytest.mark.parametrize(
    ("part", "body", "step"),
    [
        ("nothing", {"values": {"pressed": 1}}, "btn1"),
        ("btn1", {"values": {"pushed": 1}}, "pressed"),
        ("btn1", {"values": {"pressed": 2}}, "0 to 1"),
        ("btn1", {"values": {}}, "pressed"),
        ("btn1", {"verb": "turn", "argument": "3"}, "press, release"),
        ("btn1", {"verb": "press", "argument": "3"}, "leave it out"),
        ("btn1", {"verb": "release", "for_ms": 20}, "leave the time out"),
        ("enc1", {"verb": "turn", "argument": "far"}, "a number, as in: 3"),
        ("kp1", {"verb": "press", "argument": "x"}, "its keys"),
        ("enc1", {"verb": "turn", "argument": "3", "times": 2}, "do it once"),
        ("dht1", {"settings": ["25"]}, "temperature"),
        ("dht1", {"settings": ["temperature=warm"]}, "temperature=25"),
        ("pot1", {"settings": ["3 V"]}, "give it in %"),
    ],
)
async def test_a_wrong_order_says_what_the_part_can_do(
    host: PeopleHost, part: str, body: dict[str, Any], step: str
) -> None:
    status, answer = await move(host, part, body)
    assert status == 400, answer
    assert step in answer["error"]["next"]


async def test_parts_of_a_real_board_are_moved_by_hand(host: PeopleHost) -> None:
    board = {"name": "real", "board": "esp32-devkitc-v4", "transports": ["wasmachine://127.0.0.1:9"]}
    assert (await host.ask("owner", "POST", "/v1/devices", board))[0] == 201
    await host.ask("owner", "PATCH", "/v1/devices/real/wiring", {"add": ["btn1=button pin=4"]})
    for method, path, body in (
        ("PATCH", "/v1/devices/real/parts/btn1", {"values": {"pressed": 1}}),
        ("POST", "/v1/devices/real/parts/btn1/do", {"verb": "press"}),
    ):
        status, answer = await host.ask("ada", method, path, body)
        assert (status, answer["error"]["code"]) == (409, "not_supported")
        assert "by hand" in answer["error"]["message"]


async def test_hands_are_no_change_and_not_for_guests(host: PeopleHost) -> None:
    _, before = await host.ask("owner", "GET", "/v1/changes")
    assert (await move(host, "btn1", {"verb": "press"}, who="gus"))[0] == 403
    assert (await move(host, "btn1", {"verb": "press"}))[0] == 200
    assert (await host.ask("owner", "GET", "/v1/changes"))[1] == before
    assert (await host.ask("owner", "GET", "/v1/approvals"))[1]["approvals"] == []


async def test_models_have_hands(host: PeopleHost) -> None:
    """The tools of chats and of MCP are the same acts."""
    body: dict[str, Any] = {"arguments": {"device": "virtual-1", "part": "btn1", "verb": "press", "for": "50ms"}}
    pressed = (await host.stream("ada", "/v1/tools/press", body))[-1]
    assert isinstance(pressed, StreamResult), pressed
    assert (pressed.value["ok"], pressed.value["content"]["for_ms"]) == (True, 50.0)
    body = {"arguments": {"device": "virtual-1", "part": "dht1", "values": {"temperature": 31}}}
    warmed = (await host.stream("ada", "/v1/tools/set-sensor", body))[-1]
    assert isinstance(warmed, StreamResult), warmed
    assert warmed.value["ok"]
    body = {"arguments": {"device": "virtual-1", "part": "dht1", "verb": "press"}}
    refused = (await host.stream("ada", "/v1/tools/press", body))[-1]
    assert isinstance(refused, StreamResult), refused
    assert not refused.value["ok"]


async def test_a_sentence_presses_without_a_model(host: PeopleHost) -> None:
    before = await host.device.call(EdgesRead(0))
    said = (await host.stream("ada", "/v1/chat", {"text": "press btn1 twice on virtual-1", "chat_id": "hands"}))[-1]
    assert isinstance(said, Answer), said
    assert said.text == "Done on virtual-1: press btn1 2 times."
    control = board_control(host.device)
    while not any(edge.pin == 4 for edge in (await control.edges(before.cursor)).edges):
        pass
