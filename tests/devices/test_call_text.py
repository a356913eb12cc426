"""Device methods as words."""

from __future__ import annotations

import pytest

from microclaw.devices.call_text import arguments_from_words, call_from
from microclaw.devices.calls import (
    AppRequest,
    GpioSet,
    PwmSet,
    WifiSet,
)
from microclaw.errors import ConfigError, UnknownName


def test_words_become_the_typed_call_and_wrong_ones_are_refused() -> None:
    for method, words, call in (
        ("gpio.set", ["pin=2", "level=1"], GpioSet(2, 1)),
        ("gpio.set", ["2", "1"], GpioSet(2, 1)),
        ("pwm.set", ["5", "128", "frequency_hz=100"], PwmSet(5, 128, 100)),
        ("apps.request", ["name=echo", "url=/x", 'values={"a": 1}'], AppRequest("echo", "/x", {"a": 1})),
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
    assert "zyx" not in repr(WifiSet("attic", "zyx98765"))
