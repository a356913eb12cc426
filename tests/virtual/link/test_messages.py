"""Messages both ways: calls and their answers, durable ones over cuts, notifications, log lines, events, restarts."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from tests.virtual.conftest import TIMEOUT_S, BoardUnderTest, StartBoard, StartProcess
from tests.virtual.link.conftest import ScriptedHost, code_of, program, start_linked

from microclaw.errors import CallRejected
from microclaw.virtual.link.wifi import VirtualWifi
from microclaw.virtual.link_client.flash import Flash
from microclaw.wire import board_control as control
from microclaw.wire.link.messages import Bye, Call, Event, Log, Notify, RunTask, Telemetry
from microclaw.wire.link.values import ValueMap
from microclaw.wire.wasmachine.frame import MessageType
from microclaw.wire.wasmachine.request import install_request

SAYS_AND_TRAPS = program("hello from the app", "unreachable")


@pytest.fixture
def board(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> BoardUnderTest:
    return start_linked(start_board, host, tmp_path)


def test_board_says_who_it_is_why_it_booted_and_when_it_ends(
    start_process: StartProcess, host: ScriptedHost, tmp_path: Path
) -> None:
    board = start_process("--serial", "none", "--flash", str(tmp_path), *host.options)
    host.wait_hellos(1)
    first = host.hellos[0]
    assert (first.board, "gpio.get" in first.capabilities) == ("virtual", True)
    assert host.wait_for(Event, lambda e: e.name == "reboot").data == {"reason": "power_on", "boot": 1}
    assert host.wait_for(Telemetry).free_heap > 0
    assert host.call("device.restart", idempotent=False).value == {"restarting": True}  # it answers first
    host.wait(lambda: len(host.hellos) == 2)
    second = host.hellos[1]
    assert (second.reset_reason, second.tx_epoch) == ("software", first.tx_epoch)
    assert second.boot_id != first.boot_id
    assert host.wait_for(Event, lambda e: e.data.get("boot") == 2).data["reason"] == "software"
    assert host.closes[-1][0] == 1000
    board.process.send_signal(signal.SIGTERM)
    assert host.wait_for(Bye, lambda bye: bye.reason == "switched off").retry_after_s is None
    host.wait(lambda: (1001, "switched off") in host.closes)
    assert board.process.wait(TIMEOUT_S) == 0
    assert len(host.certificates) == 3, "one connection to pair, two to work: it did not come back"


def test_calls_are_answered_once_each_with_its_value_or_reason(board: BoardUnderTest, host: ScriptedHost) -> None:
    first = Call("gpio.set", {"pin": 4, "level": 1}, idempotent=False)
    message_id = host.send(first)
    assert host.result_of(message_id).value == {"pin": 4, "level": 1}
    assert host.call("gpio.set", {"pin": 4, "level": 0}).ok
    host.send(first, message_id=message_id)
    host.wait(lambda: len(host.results_of(message_id)) == 2)
    assert host.results_of(message_id)[0] == host.results_of(message_id)[1]
    expired = host.send(Call("gpio.set", {"pin": 4, "level": 1}, idempotent=True, ttl_ms=0), durable=True)
    assert code_of(host.result_of(expired)) == "expired"
    answers: list[tuple[str, ValueMap, ValueMap]] = [
        ("gpio.get", {"pin": 4}, {"pin": 4, "level": 0}),  # neither had an effect
        ("adc.read", {"pin": 1}, {"pin": 1, "raw": 0, "volts": 0.0}),
        ("pwm.set", {"pin": 4, "duty": 128}, {"pin": 4, "duty": 128, "frequency_hz": 5000}),
        ("i2c.scan", {}, {"addresses": [0x40, 0x76]}),
    ]
    for method, params, value in answers:
        assert host.call(method, params).value == value, method
    wrong: list[tuple[str, ValueMap, str]] = [
        ("display.show", {}, "not_supported"),
        ("gpio.get", {"pin": True}, "bad_params"),
        ("gpio.get", {"pin": 60}, "pin_refused"),
        ("gpio.set", {"pin": 35, "level": 1}, "pin_refused"),
        ("gpio.set", {"pin": 4, "level": 2}, "bad_params"),
        ("adc.read", {"pin": 48}, "pin_refused"),
        ("pwm.set", {"pin": 4, "duty": 1, "frequency_hz": 9}, "pin_refused"),
        ("i2c.read", {"sensor": "dht22"}, "unknown_name"),
        ("i2c.read", {"address": 0x10}, "bad_params"),
        ("pwm.set", {"pin": 4, "duty": 256}, "bad_params"),
        ("wifi.set", {"ssid": "\u00e9" * 17}, "bad_params"),
        ("wifi.set", {"ssid": "two\nlines"}, "bad_params"),
        ("wifi.set", {"ssid": "new", "password": "short"}, "bad_params"),
        ("wifi.set", {"ssid": "new", "password": "x" * 64}, "bad_params"),
        ("wifi.forget", {"ssid": "nobody"}, "bad_params"),
        ("wifi.forget", {"ssid": "virtual"}, "failed"),
    ]
    for method, params, code in wrong:
        assert code_of(host.call(method, params)) == code, (method, params)


def test_notes_are_shown_once_and_in_time_and_programs_are_heard(board: BoardUnderTest, host: ScriptedHost) -> None:
    past_ms = int(time.time() * 1000) - 1_000
    host.send(Notify("too late", speak=False, expires_ms=past_ms), durable=True)
    host.send(Notify("the water boils", speak=True), durable=True)
    host.wait(lambda: host.mail.acked == 2)
    bench = board.control()
    status = bench.ask(control.Link())
    assert (status.notified, status.notifications) == (1, ("the water boils",))
    shown = [line.text for line in bench.ask(control.ReadLog()).rows if "notify" in line.text]
    assert shown == ["link: notify: the water boils"]
    board.link().request(install_request(1, "talker", SAYS_AND_TRAPS), MessageType.INSTALL)
    assert host.wait_for(Log, lambda log: log.source == "talker").text == "hello from the app"
    numbers = [e.body.n for e in host.heard if isinstance(e.body, Log)]
    assert numbers == sorted(set(numbers))
    crash = host.wait_for(Event, lambda e: e.name == "app.crash").data
    assert (crash["app"], "unreachable" in str(crash["reason"])) == ("talker", True)


def test_a_full_outbox_refuses_and_counts(board: BoardUnderTest, host: ScriptedHost) -> None:
    host.refuse_with = 1013
    host.drop()
    host.wait(lambda: not host.is_connected)
    bench = board.control()
    kept = 0
    while bench.ask(control.Link()).outbox * 1_150 < 65_536 - 1_150:
        bench.ask(control.LinkTask(f"task-{kept}", "x" * 1_000))
        kept += 1
    with pytest.raises(CallRejected):
        bench.ask(control.LinkTask("one more", "x" * 6_000))
    assert bench.ask(control.Link()).refused_events == 1
    host.refuse_with = None
    host.wait_for(RunTask, lambda task: task.task == f"task-{kept - 1}")


def test_wifi_is_tried_and_given_up_and_stays_over_a_power_cut(board: BoardUnderTest, host: ScriptedHost) -> None:
    first: ValueMap = {"networks": ["virtual"], "ssid": "virtual"}
    assert host.call("wifi.list").value == first
    for ssid, password, why in (
        ("virtual", "wrong secret", "the password is wrong"),
        ("attic-5G", "wrong secret", "the board does not hear it; it hears 2.4 GHz alone, never 5 GHz"),
        ("virtual-deaf", None, "the host was not reached over it"),
    ):
        came = len(host.hellos) + 1
        answer = host.call("wifi.set", {"ssid": ssid, "password": password}, idempotent=False)
        assert answer.value == {"ssid": ssid, "state": "trying", "seconds": 5}
        host.wait_hellos(came)
        assert host.call("wifi.list").value == {**first, "trial": {"ssid": ssid, "state": "failed", "why": why}}
    came = len(host.hellos) + 1
    assert host.call("wifi.set", {"ssid": "virtual-guest"}, idempotent=False).ok
    host.wait_hellos(came)
    trial: ValueMap = {"ssid": "virtual-guest", "state": "kept"}
    kept: ValueMap = {"networks": ["virtual-guest", "virtual"], "ssid": "virtual-guest", "trial": trial}
    assert host.call("wifi.list").value == kept
    assert not host.call("wifi.forget", {"ssid": "virtual-guest"}, idempotent=False).ok
    assert host.call("wifi.forget", {"ssid": "virtual"}, idempotent=False).ok
    assert host.call("wifi.set", {"ssid": "garden", "password": "later on", "later": True}, idempotent=False).ok
    came = len(host.hellos) + 1
    bench = board.control()
    bench.ask(control.Power("cut"))
    bench.ask(control.Power("on"))
    host.wait_hellos(came)
    assert host.call("wifi.list").value == {**kept, "networks": ["virtual-guest", "garden"]}


@pytest.mark.parametrize(("ssid", "state"), [("virtual-deaf", "failed"), ("virtual-guest", "kept")])
def test_a_power_cut_ends_the_trial_of_a_wifi(tmp_path: Path, ssid: str, state: str) -> None:
    flash = Flash(tmp_path)
    former = [{"ssid": "virtual", "password": "virtual board"}]
    trying = {"ssid": ssid, "state": "trying", "former": former}
    flash.commit({"wifi": [{"ssid": ssid, "password": None}, *former], "wifi_trial": trying})
    value = VirtualWifi(flash).methods()["wifi.list"]({})
    flash.close()
    assert isinstance(value, dict)
    assert isinstance(value["trial"], dict)
    assert (value["trial"]["state"], value["ssid"]) == (state, "virtual" if state == "failed" else ssid)
