"""Wi-Fi that comes, goes and is not there: which network is tried when."""

from __future__ import annotations

from tests.firmware.conftest import micropython

HEAD = """
import asyncio, networks, time, wifi
wifi.JOIN_S = 0.3
class Radio:
    def __init__(self, here, connected=False):
        self.here, self.connected, self.tried = here, connected, []
    def active(self, on): self.tried.append("on")
    def isconnected(self): return self.connected
    def disconnect(self): self.connected = False
    def connect(self, ssid, password):
        self.tried.append(ssid)
        self.connected = (ssid, password) in self.here
    def status(self, what=None): return -40 if what else 201
    def scan(self): return [("café".encode(), 0, 1, -50), (bytes([255]), 0, 1, -40)]
KNOWN = [{"ssid": "home", "password": "a"}, {"ssid": "shed"}]
"""


def test_networks_are_tried_in_turn_and_the_last_good_one_first() -> None:
    script = """
wifi.MIN_WAIT_S = 0
wifi.wait_s = lambda failures, share: 0.01
async def go():
    radio = Radio([("shed", None)])
    w = wifi.Wifi(radio, KNOWN)
    asyncio.create_task(w.run())
    await w.up.wait()
    print(radio.tried, w.ssid, w.rssi())
    radio.tried.clear()
    radio.connected, radio.here = False, []
    while w.failures < 2:
        await asyncio.sleep_ms(20)
    print(w.up.is_set(), radio.tried[:4], w.rssi())
    radio.here = [("home", "a")]
    await w.up.wait()
    print(w.ssid, w.failures)
asyncio.run(go())
"""
    assert micropython(HEAD + script).splitlines() == [
        "['on', 'home', 'shed'] shed -40",
        "False ['shed', 'home', 'shed', 'home'] None",
        "home 0",
    ]


def test_a_clock_that_runs_ahead_is_set_by_a_pong_that_came_soon_by_whole_milliseconds() -> None:
    """A float of an ESP32 has 24 bits: seconds since 1970 would err by a minute, and every call would come too late."""
    script = """
import asyncio, calendar, chip_facts, link
calendar.now_us = lambda: 1790000003000000
class Board:
    def set_time(unix_ms):
        chip_facts.set_time(Board, unix_ms)
    class machine:
        class RTC:
            def datetime(self, at):
                print(at)
class Link(link.Link):
    def __init__(self):
        self._board, self.phase = Board, "ready"
def pong(t0, t2):
    asyncio.run(Link()._act("pong", {"n": 1, "t0": t0, "t1": t2, "t2": t2}, b"", None))
pong(1790000002900000, 1790000000123000)
pong(1790000002900000, 1790000002500000)  # it is not off
pong(1790000001000000, 1790000000123000)  # it took two seconds
"""
    assert micropython(script) == "(2026, 9, 21, 0, 14, 13, 20, 123000)\n"
