"""What a method asks of a board, in the words of its user: errors say them."""

from __future__ import annotations

from typing import Final

# What a board is asked to do, in the words of its user; an upload has three methods.
_ACTS: Final[dict[str, str]] = {
    "gpio.set": "set the pin",
    "gpio.get": "read the pin",
    "adc.read": "measure the voltage",
    "pwm.set": "set the PWM",
    "pwm.read": "list its PWM changes",
    "i2c.scan": "scan the I2C bus",
    "i2c.read": "read the sensor",
    "edges.read": "list its edges",
    "device.info": "say what it is",
    "device.status": "report its state",
    "device.restart": "restart",
    "wifi.list": "list its Wi-Fi networks",
    "wifi.set": "take the Wi-Fi network",
    "wifi.forget": "forget the Wi-Fi network",
    "apps.begin": "take the program",
    "apps.write": "take the program",
    "apps.commit": "take the program",
    "apps.install": "take the program",
    "apps.remove": "remove the program",
    "apps.start": "start the program",
    "apps.stop": "stop the program",
    "apps.undo": "go back to the earlier program",
    "apps.list": "list its programs",
    "apps.states": "report the states of its programs",
    "apps.request": "pass the request to the program",
    "apps.page": "show the program's page",
    "parts.read": "report its parts",
    "logs.read": "show what its programs print",
    "console.read": "show its console",
}


def act_words(method: str) -> str:
    """Return what a method does, in the user's words; a method that is not known keeps its name."""
    return _ACTS.get(method, f"do {method}")
