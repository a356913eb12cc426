"""Keeps the board on one of its Wi-Fi networks, for ever. Never scans: a scan holds up every program for 2.5 s."""

import asyncio
import random

JOIN_S = 15
MIN_WAIT_S = 1
MAX_WAIT_S = 60


class Wifi:
    """`up` is set while there is a network. `networks` are tried in turn, the one that last worked first."""

    def __init__(self, wlan, networks):
        self._wlan = wlan
        self._networks = list(networks)
        self.up = asyncio.Event()
        self.failures = 0  # rounds without any network, since the last time there was one
        self.ssid = None

    async def run(self):
        if self._wlan is None:  # this board has another way
            self.up.set()
            return
        self._wlan.active(True)
        while True:
            if self._wlan.isconnected():  # also after a soft reset, which leaves Wi-Fi as it is
                self.failures = 0
                self.up.set()
                await asyncio.sleep(1)
                continue
            self.up.clear()
            if not await self._round():
                self.failures += 1
                await asyncio.sleep(wait_s(self.failures, random.random()))

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
        """(name, dBm) of the networks around; every program waits 2.5 s meanwhile."""
        return [] if self._wlan is None else [(str(row[0], "utf-8"), row[3]) for row in self._wlan.scan()]

    def know(self, networks):
        """From now on these; the present one is left, and the first of them is tried at once."""
        self._networks = list(networks)
        if self._wlan is not None:
            self._wlan.disconnect()

    async def _round(self):
        for network in list(self._networks):
            if await self._join(network["ssid"], network.get("password")):
                self._networks.sort(key=lambda known: known is not network)
                self.ssid = network["ssid"]
                return True
        return False

    async def _join(self, ssid, password):
        try:
            self._wlan.disconnect()
            self._wlan.connect(ssid, password)
        except OSError:
            return False  # the radio is busy: next round
        for _ in range(JOIN_S * 10):
            await asyncio.sleep_ms(100)
            if self._wlan.isconnected():
                return True
        return False


def wait_s(failures, share):
    """How long after the n-th failure in a row; `share` is random, from 0 to 1."""
    top_s = min(MAX_WAIT_S, MIN_WAIT_S << min(failures, 6))
    return MIN_WAIT_S + share * (top_s - MIN_WAIT_S)
