"""Calls as words, answers that are no evidence, and the ring of a device's last log lines."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.devices.registry import calls
from microclaw.devices.registry.answer_check import check_answer
from microclaw.devices.registry.call_text import arguments_from_words, call_from
from microclaw.devices.registry.log_ring import MAX_PAGE, MAX_TEXT, LogRing
from microclaw.errors import ConfigError, DeviceLied, UnknownName
from microclaw.events import Edge


def test_words_become_the_typed_call_and_wrong_ones_are_refused() -> None:
    for method, words, call in (
        ("gpio.set", ["pin=2", "level=1"], calls.GpioSet(2, 1)),
        ("gpio.set", ["2", "1"], calls.GpioSet(2, 1)),
        ("pwm.set", ["5", "128", "frequency_hz=100"], calls.PwmSet(5, 128, 100)),
        ("apps.request", ["name=echo", "url=/x", 'values={"a": 1}'], calls.AppRequest("echo", "/x", {"a": 1})),
    ):
        assert call_from(method, arguments_from_words(method, words)) == call
    for wrong in ("1 2 3", "pin=x", "2 high", "pin=2 colour=red", "", "pin=2.5 1"):
        with pytest.raises(ConfigError):
            call_from("gpio.set", arguments_from_words("gpio.set", wrong.split()))
    with pytest.raises(ConfigError):
        call_from("gpio.set", {"pin": 2, "level": True})


def test_wifi_is_no_direct_call_and_its_password_is_not_shown() -> None:
    for method in ("wifi.list", "wifi.set", "wifi.forget"):
        with pytest.raises(UnknownName):
            call_from(method, {"ssid": "attic", "password": "zyx98765"})
    assert "zyx" not in repr(calls.WifiSet("attic", "zyx98765"))


LIES: tuple[tuple[calls.Call[Any], object], ...] = (
    (calls.GpioSet(4, 1), calls.PinLevel(5, 1)),
    (calls.GpioGet(4), calls.PinLevel(4, 7)),
    (calls.AdcRead(4), calls.AdcReading(5, 100, 0.1)),
    (calls.AdcRead(4), calls.AdcReading(4, 100, 33.0)),
    (calls.PwmSet(5, 128, 5000), calls.PwmState(5, 128, 50)),
    (calls.I2cRead("bme280"), calls.SensorReading("ina219", {"voltage_v": 1.0})),
    (calls.I2cRead("bme280"), calls.SensorReading("bme280", {"humidity_pct": 200.0})),
    (calls.I2cRead("bme280"), calls.SensorReading("bme280", {"switch pin 4 on": 1.0})),
    (calls.I2cRead("bme280"), calls.SensorReading("bme280", {f"v{n}": 1.0 for n in range(17)})),
    (calls.DeviceInfo(), calls.DeviceFacts({"free_heap_kb": float("nan")})),
    (calls.I2cScan(), calls.I2cAddresses((0x76, 200))),
    (calls.EdgesRead(), calls.EdgeLog((Edge(float("nan"), 4, 1),), 1, 0, 5.0)),
    (calls.EdgesRead(), calls.EdgeLog((Edge(900.0, 4, 1),), 1, 0, float("nan"))),
    (calls.PwmRead(), calls.PwmLog((calls.PwmChange(1.0, 999, 1, 5000),), 1)),
)
TRUE: tuple[tuple[calls.Call[Any], object], ...] = (
    (calls.AdcRead(4), calls.AdcReading(4, 4095, 3.3)),
    (calls.PwmSet(5, 128, 5000), calls.PwmState(5, 127, 4999)),
    (calls.I2cRead("bme280"), calls.SensorReading("bme280", {"temperature_c": -12.5, "pressure_hpa": 990.0})),
    (
        calls.EdgesRead(),
        calls.EdgeLog((Edge(900.0, 4, 1), Edge(1.0, 4, 0)), 2, 0, 999.5),
    ),  # the board restarted between
)


def test_an_answer_about_something_else_is_device_lied_and_one_to_what_was_asked_passes() -> None:
    for call, answer in LIES:
        with pytest.raises(DeviceLied) as caught:
            check_answer("desk", call, answer)
        assert caught.value.next_step is not None
    for call, answer in TRUE:
        check_answer("desk", call, answer)


def _ring(*texts: str, max_lines: int = 10) -> LogRing:
    ring = LogRing(max_lines)
    for text in texts:
        ring.add(calls.LogLine(0.0, "blink", text))
    return ring


def test_a_program_that_floods_pushes_out_its_own_lines_only() -> None:
    ring = _ring("a", "b", max_lines=10)
    for number in range(1_000):
        ring.add(calls.LogLine(0.0, "flood", str(number)))
    page = ring.page(0)
    assert [line.text for line in page.lines if line.app == "blink"] == ["a", "b"]
    assert (len(page.lines), page.dropped) == (10, 992)


def test_a_gap_in_the_devices_count_is_lines_lost_and_a_count_that_begins_again_a_reboot() -> None:
    ring = LogRing()
    for n in (7, 11, 1):
        ring.add(calls.LogLine(0.0, None, str(n)), n=n)
    assert [ring.page(cursor).dropped for cursor in (0, 1, 2)] == [3, 3, 0]


def test_cursor_of_an_earlier_run_starts_at_the_oldest() -> None:
    page = _ring("a").page(500)
    assert ([line.text for line in page.lines], page.dropped, page.cursor) == (["a"], 0, 1)


def test_a_page_and_a_line_are_bounded_and_the_next_goes_on_at_the_cursor() -> None:
    ring = _ring(*map(str, range(MAX_PAGE + 1)), max_lines=MAX_PAGE + 1)
    page = ring.page(0)
    assert len(page.lines) == MAX_PAGE
    assert [line.text for line in ring.page(page.cursor).lines] == [str(MAX_PAGE)]
    assert len(_ring("x" * (MAX_TEXT + 1)).page(0).lines[0].text) == MAX_TEXT
