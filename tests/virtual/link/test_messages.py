"""Messages both ways: calls and their answers, durable ones over cuts, notifications, log lines, events, restarts."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

import pytest
from tests.virtual.conftest import TIMEOUT_S, BoardUnderTest, StartBoard
from tests.virtual.link.conftest import ScriptedHost
from wasmtime import wat2wasm

from microclaw.errors import CallRejected
from microclaw.link_client.flash import Flash
from microclaw.virtual.link.wifi import VirtualWifi
from microclaw.wire import board_control as control
from microclaw.wire.link.messages import Bye, Call, Event, Log, Notify, RunTask, Telemetry
from microclaw.wire.link.values import ValueMap
from microclaw.wire.wasmachine.frame import FrameType
from microclaw.wire.wasmachine.request import install_request

TRAPPING = '(module (memory 1) (func (export "on_init") unreachable))'
PRINTING = """(module (import "env" "puts" (func $puts (param i32) (result i32))) (memory (export "memory") 1)
  (data (i32.const 16) "hello from the app\\00") (func (export "on_init") i32.const 16 call $puts drop))"""


@pytest.fixture
def board(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> BoardUnderTest:
    started = start_board("--serial", "none", "--flash", str(tmp_path), *host.options)
    host.wait(lambda: host.is_connected)
    return started


def console(board: BoardUnderTest) -> list[str]:
    bench = board.control()
    lines = [line.text for line in bench.ask(control.Log()).lines]
    bench.close()
    return lines


def test_board_says_who_it_is_and_why_it_booted(board: BoardUnderTest, host: ScriptedHost) -> None:
    assert (host.hellos[0].board, "gpio.get" in host.hellos[0].capabilities) == ("virtual", True)
    assert host.wait_for(Event, lambda e: e.name == "reboot").data == {"reason": "power_on", "boot": 1}
    assert host.wait_for(Telemetry).free_heap > 0
    status = board.control().ask(control.Link())
    assert (status.state, status.device_id) == ("connected", "dev-1")


def test_a_terminated_board_says_bye_and_closes_1001(board: BoardUnderTest, host: ScriptedHost) -> None:
    board.process.send_signal(signal.SIGTERM)
    said = host.wait_for(Bye, lambda bye: bye.reason != "paired")
    assert (said.reason, said.retry_after_s) == ("switched off", None)
    host.wait(lambda: (1001, "switched off") in host.closes)
    assert board.process.wait(TIMEOUT_S) == 0
    assert len(host.certificates) == 2, "one connection to pair, one to work: it did not come back"


def test_methods_answer_with_the_fields_of_their_calls(board: BoardUnderTest, host: ScriptedHost) -> None:
    answers: list[tuple[str, ValueMap, ValueMap]] = [
        ("gpio.set", {"pin": 4, "level": 1}, {"pin": 4, "level": 1}),
        ("gpio.get", {"pin": 4}, {"pin": 4, "level": 1}),
        ("adc.read", {"pin": 1}, {"pin": 1, "raw": 0, "volts": 0.0}),
        ("pwm.set", {"pin": 4, "duty": 128}, {"pin": 4, "duty": 128, "frequency_hz": 5000}),
        ("i2c.scan", {}, {"addresses": [0x40, 0x76]}),
        ("i2c.read", {"address": 0x76, "register": 0xD0}, {"address": 0x76, "data": b"\x60"}),
        ("device.restart", {}, {"restarting": True}),
    ]
    for method, params, value in answers:
        result = host.call(method, params)
        assert (result.ok, result.value) == (True, value), result


def test_a_wrong_call_is_answered_with_its_reason(board: BoardUnderTest, host: ScriptedHost) -> None:
    wrong: list[tuple[str, ValueMap, str]] = [
        ("display.show", {}, "not_supported"),
        ("gpio.get", {}, "bad_params"),
        ("gpio.get", {"pin": True}, "bad_params"),
        ("gpio.get", {"pin": 60}, "pin_refused"),
        ("gpio.set", {"pin": 35, "level": 1}, "pin_refused"),
        ("gpio.set", {"pin": 4, "level": 2}, "bad_params"),
        ("adc.read", {"pin": 48}, "pin_refused"),
        ("i2c.read", {"sensor": "dht22"}, "unknown_name"),
        ("i2c.read", {"address": 0x10}, "bad_params"),
        ("pwm.set", {"pin": 4, "duty": 256}, "bad_params"),
        ("wifi.set", {}, "bad_params"),
        ("wifi.set", {"ssid": "\u00e9" * 17}, "bad_params"),
        ("wifi.set", {"ssid": "two\nlines"}, "bad_params"),
        ("wifi.set", {"ssid": "new", "password": "short"}, "bad_params"),
        ("wifi.set", {"ssid": "new", "password": "x" * 64}, "bad_params"),
        ("wifi.set", {"ssid": "new", "later": 1}, "bad_params"),
        ("wifi.forget", {"ssid": "nobody"}, "bad_params"),
        ("wifi.forget", {"ssid": "virtual"}, "failed"),
    ]
    for method, params, code in wrong:
        error = host.call(method, params).error
        assert error is not None, method
        assert error.code == code, (method, params)


def test_a_repeated_call_gets_its_first_answer_and_has_no_second_effect(
    board: BoardUnderTest, host: ScriptedHost
) -> None:
    first = Call("gpio.set", {"pin": 4, "level": 1}, idempotent=False)
    message_id = host.send(first)
    host.result_of(message_id)
    host.call("gpio.set", {"pin": 4, "level": 0})
    host.send(first, message_id=message_id)
    host.wait(lambda: len(host.results_of(message_id)) == 2)
    assert host.results_of(message_id)[0] == host.results_of(message_id)[1]
    assert host.call("gpio.get", {"pin": 4}).value == {"pin": 4, "level": 0}


def test_an_expired_call_has_no_effect(board: BoardUnderTest, host: ScriptedHost) -> None:
    message_id = host.send(Call("gpio.set", {"pin": 4, "level": 1}, idempotent=True, ttl_ms=0), durable=True)
    result = host.result_of(message_id)
    assert result.error is not None
    assert result.error.code == "expired"
    assert host.call("gpio.get", {"pin": 4}).value == {"pin": 4, "level": 0}


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


def test_a_restart_answers_first_and_says_why_it_booted(board: BoardUnderTest, host: ScriptedHost) -> None:
    assert host.call("device.restart", idempotent=False).ok
    host.wait(lambda: len(host.hellos) == 2)
    assert host.hellos[1].reset_reason == "software"
    assert host.hellos[1].boot_id != host.hellos[0].boot_id
    assert host.hellos[1].tx_epoch == host.hellos[0].tx_epoch
    assert host.wait_for(Event, lambda e: e.data.get("boot") == 2).data["reason"] == "software"
    assert host.closes[-1][0] == 1000


def test_notifications_are_shown_once_and_not_after_their_time(board: BoardUnderTest, host: ScriptedHost) -> None:
    past_ms = int(time.time() * 1000) - 1_000
    host.send(Notify("too late", speak=False, expires_ms=past_ms), durable=True)
    host.send(Notify("the water boils", speak=True), durable=True)
    host.wait(lambda: host.mail.acked == 2)
    status = board.control().ask(control.Link())
    assert (status.notified, status.notifications) == (1, ("the water boils",))
    shown = [line for line in console(board) if "notify" in line]
    assert shown == ["link: notify: the water boils"]


def test_what_apps_print_goes_to_the_host_numbered(board: BoardUnderTest, host: ScriptedHost) -> None:
    link = board.link()
    link.request(install_request(1, "talker", bytes(wat2wasm(PRINTING))), FrameType.INSTALL)
    line = host.wait_for(Log, lambda log: log.source == "talker")
    assert line.text == "hello from the app"
    numbers = [e.body.n for e in host.heard if isinstance(e.body, Log)]
    assert numbers == sorted(set(numbers))


def test_a_crash_is_an_event_with_its_reason(board: BoardUnderTest, host: ScriptedHost) -> None:
    link = board.link()
    link.request(install_request(1, "bad", bytes(wat2wasm(TRAPPING))), FrameType.INSTALL)
    crash = host.wait_for(Event, lambda e: e.name == "app.crash")
    assert crash.data["app"] == "bad"
    assert "unreachable" in str(crash.data["reason"])


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
        host.wait(partial(_has_come, host, came))
        assert host.call("wifi.list").value == {**first, "trial": {"ssid": ssid, "state": "failed", "why": why}}
    came = len(host.hellos) + 1
    assert host.call("wifi.set", {"ssid": "virtual-guest"}, idempotent=False).ok
    host.wait(partial(_has_come, host, came))
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
    host.wait(partial(_has_come, host, came))
    assert host.call("wifi.list").value == {**kept, "networks": ["virtual-guest", "garden"]}


def _has_come(host: ScriptedHost, count: int) -> bool:
    return len(host.hellos) >= count and host.is_connected


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
