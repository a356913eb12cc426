"""A live order on a pin that a program has, over a real host: refused, asked, insisted on. And run --force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from microclaw.client import Client
from microclaw.client.request import HostError
from microclaw.events import Answer, ApprovalAsked, Step
from microclaw.wire.host_api import Failure, Result

PATH = "/v1/devices/virtual-1/call"
# The pins are computed: only the trial can know them.
PROGRAM = """
#include "microclaw.h"
static int led, key;
static volatile int base = 10;
static void tick(void) { gpio_set(led, gpio_get(key)); }
void on_init(void) { led = gpio_open(base, GPIO_OUT); key = gpio_open(base + 1, GPIO_IN); every(100, tick); }
"""
TRAPS = """
#include "microclaw.h"
static void fall(void) { __builtin_trap(); }
void on_init(void) { printf("up"); after(5000, fall); }
"""


def install(host: Client, name: str, source: str, **more: Any) -> tuple[list[Step], Any]:
    events = list(host.stream("/v1/devices/virtual-1/apps", {"name": name, "source": source, **more}))
    return [event for event in events if isinstance(event, Step)], events[-1]


@pytest.fixture
def follower(host: Client) -> Iterator[Client]:
    _, end = install(host, "follow", PROGRAM)
    assert isinstance(end, Result)
    yield host
    list(host.stream("/v1/devices/virtual-1/apps/follow", method="DELETE"))


def order(host: Client, method: str = "gpio.set", **arguments: Any) -> Any:
    force = arguments.pop("force", False)
    return host.post(PATH, {"method": method, "arguments": arguments, "force": force})


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("gpio.set", {"pin": 10, "level": 1}, "pin 10 is driven by follow on virtual-1"),
        ("pwm.set", {"pin": 10, "duty": 9, "frequency_hz": 1000}, "pin 10 is driven by follow on virtual-1"),
        ("gpio.set", {"pin": 11, "level": 1}, "pin 11 is read by follow on virtual-1: driving it works against"),
    ],
)
def test_an_order_on_a_computed_pin_of_a_program_is_refused(
    follower: Client, method: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(HostError) as caught:
        order(follower, method, **arguments)
    assert caught.value.failure.code == "pin_claimed"
    assert caught.value.message.startswith(said)
    assert "microclaw app stop follow -d virtual-1, or take it off: microclaw app uninstall follow" in str(
        caught.value.next_step
    )
    assert "microclaw exec --force" in str(caught.value.next_step)


def test_who_insists_gets_it(follower: Client) -> None:
    assert order(follower, pin=10, level=1, force=True)["warning"] == (
        "follow drives pin 10 too and will change it again"
    )
    assert order(follower, pin=12, level=1)["warning"] is None
    assert order(follower, "gpio.get", pin=10)["result"]["pin"] == 10
    with pytest.raises(HostError, match="pin 27"):
        order(follower, pin=27, level=1, force=True)  # a flash pin stays one


@pytest.mark.parametrize("yes", [False, True])
def test_a_sentence_asks_with_the_programs_name(follower: Client, yes: bool) -> None:
    answers = []
    for event in follower.stream("/v1/chat", {"text": "turn on pin 10", "chat_id": "claims"}):
        if isinstance(event, ApprovalAsked):
            assert event.detail[0].startswith("pin 10 is driven by follow on virtual-1")
            follower.decide(event.approval_id, approved=yes)
        if isinstance(event, Answer):
            answers.append(event)
    assert [event.error_code for event in answers] == [None if yes else "permission_refused"]
    if yes:  # it was stopped for that
        list(follower.stream("/v1/devices/virtual-1/apps/follow/start", {}))


def test_nobody_is_asked_about_a_flash_pin(follower: Client) -> None:
    events = list(follower.stream("/v1/chat", {"text": "turn on pin 27", "chat_id": "claims"}))
    assert not any(isinstance(event, ApprovalAsked) for event in events)


def test_is_a_pin_free_answers_from_the_claims(follower: Client) -> None:
    for pin, said in ((10, "driven by follow"), (11, "read by follow"), (12, "free")):
        sentence = {"text": f"is pin {pin} free", "chat_id": "claims"}
        [answer] = [e for e in follower.stream("/v1/chat", sentence) if isinstance(e, Answer)]
        assert f"Pin {pin} is {said}" in answer.text


def test_a_failed_trial_is_installed_with_force_alone(host: Client) -> None:
    _, end = install(host, "falls", TRAPS)
    assert isinstance(end, Failure)
    assert end.code == "trial_failed"
    tool = {"arguments": {"sourceCode": TRAPS, "appName": "falls"}, "device": "virtual-1"}
    *_, told = host.stream("/v1/tools/deploy-wasm-app", tool)
    assert isinstance(told, Result)
    assert "trial_failed" in str(told.value)
    assert host.get("/v1/apps")["apps"] == []
    steps, done = install(host, "falls", TRAPS, force=True)
    assert isinstance(done, Result)
    assert ("try", "failed") in [(step.stage, step.state) for step in steps]
    assert [app["name"] for app in host.get("/v1/apps")["apps"]] == ["falls"]
    list(host.stream("/v1/devices/virtual-1/apps/falls", method="DELETE"))
