"""Keeps the board on one of its Wi-Fi networks, for ever. Scans for a person alone: programs wait 2.5 s then."""

import asyncio
import random
import time

JOIN_S = 15
MIN_WAIT_S = 1
MAX_WAIT_S = 60


class Wifi:
    """`up` is set while there is a network. `networks` are tried in turn, the one that last worked first.

    `offer` is awaited when there was none for `offer_s`: it opens the board's own access point (portal.py). 0 is never.
    """

    def __init__(self, wlan, networks, offer_s=0):
        self._wlan = wlan
        self.networks = list(networks)
        self.up = asyncio.Event()
        self.failures = 0  # rounds without any network, since the last time there was one
        self.ssid = None
        self.offer = None
        self._offer_ms = offer_s * 1000
        self._lost_ms = time.ticks_ms()

    async def run(self):
        if self._wlan is None:  # this board has another way
            self.up.set()
            return
        self._wlan.active(True)
        while True:
            if self._wlan.isconnected():  # also after a soft reset, which leaves Wi-Fi as it is
                self.failures = 0
                self._lost_ms = time.ticks_ms()
                self.up.set()
                await asyncio.sleep(1)
                continue
            self.up.clear()
            if await self.round():
                continue
            self.failures += 1
            if self.offer is not None and self._offer_ms and self._left_ms() <= 0:
                await self.offer()
                self._lost_ms = time.ticks_add(
                    time.ticks_ms(), 4 * self._offer_ms
                )  # next time after five times as long
            else:
                await self._pause(wait_s(self.failures, random.random()))

    def rssi(self):
        """dBm, or None without a network."""
        if self._wlan is None or not self._wlan.isconnected():
            return None
        return self._wlan.status("rssi")

    def address(self):
        """Our address, or None without a network."""
        if self._wlan is None or not self._wlan.isconnected():
            return None
        return self._wlan.ifconfig()[0]

    def scan(self):
        """(name, dBm) of the networks around, without those whose name is no text; every program waits meanwhile."""
        found = []
        for row in [] if self._wlan is None else self._wlan.scan():
            try:
                found.append((str(row[0], "utf-8"), row[3]))
            except ValueError:
                pass  # bytes of another alphabet
        return found

    def know(self, networks, stays=False):
        """From now on these. Unless it `stays`, the present one is left, and the first of them is tried at once."""
        self.networks = list(networks)
        if stays or self._wlan is None:
            return
        self.ssid = None
        self.failures = 0
        self.up.clear()
        self._lost_ms = time.ticks_ms()
        self._wlan.disconnect()

    def rest(self):
        """The radio leaves off until the next round; why it did not join, as a network.STAT_..., where it says so."""
        try:
            self._wlan.disconnect()
        except OSError:
            pass  # it was not at it
        return self._wlan.status()

    async def round(self):
        """Try each network once; whether one was joined. Ends early when others are to be known."""
        networks = self.networks
        for network in list(networks):
            joined = await self._join(network["ssid"], network.get("password"))
            if networks is not self.networks:
                break
            if joined:
                networks.sort(key=lambda known: known is not network)
                self.ssid = network["ssid"]
                return True
        return False

    async def _join(self, ssid, password):
        networks = self.networks
        try:
            self._wlan.disconnect()
            self._wlan.connect(ssid, password)
        except OSError:
            return False  # the radio is busy: next round
        for _ in range(JOIN_S * 10):
            await asyncio.sleep_ms(100)
            if networks is not self.networks:
                break
            if self._wlan.isconnected():
                return True
        return False

    def _left_ms(self):
        """Until the access point is to be offered."""
        return self._offer_ms - time.ticks_diff(time.ticks_ms(), self._lost_ms)

    async def _pause(self, seconds):
        """Between two rounds; over at once when others are to be known, or when it is time for the offer."""
        networks, until = self.networks, time.ticks_add(time.ticks_ms(), int(seconds * 1000))
        while networks is self.networks and (left := time.ticks_diff(until, time.ticks_ms())) > 0:
            if self.offer is not None and self._offer_ms and self._left_ms() <= 0:
                return
            await asyncio.sleep_ms(min(left, 500))


def wait_s(failures, share):
    """How long after the n-th failure in a row; `share` is random, from 0 to 1."""
    top_s = min(MAX_WAIT_S, MIN_WAIT_S << min(failures, 6))
    return MIN_WAIT_S + share * (top_s - MIN_WAIT_S)
