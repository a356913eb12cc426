"""Keeps the board on one of its Wi-Fi networks, forever. Never scans: what is wanted seldom is in networks.py."""

import asyncio
import random
import time

JOIN_S = 15
MIN_WAIT_S = 1
MAX_WAIT_S = 45


class Wifi:
    """The board's Wi-Fi; `up` is set while there is a network.

    `networks` are tried in turn, the network that worked last first; a changed list is tried at once.
    `offer`, our own access point, is awaited if there was no network for `offer_s` (0 is never).
    """

    def __init__(self, wlan, networks, offer=None, offer_s=0):
        self.wlan = wlan
        self.networks = list(networks)
        self.up = asyncio.Event()
        # Rounds without any network, since the last time there was one.
        self.failures = 0
        self.ssid = None
        self.offer = offer
        self.offer_ms = offer_s * 1000
        self.lost_ms = time.ticks_ms()

    async def run(self):
        # This board has no Wi-Fi, but another network.
        if self.wlan is None:
            self.up.set()
            return
        self.wlan.active(True)
        while True:
            # Also after a soft reset, which leaves Wi-Fi as it is.
            if self.wlan.isconnected():
                self.failures = 0
                self.lost_ms = time.ticks_ms()
                self.up.set()
                await asyncio.sleep(1)
                continue
            self.up.clear()
            if await self.round():
                continue
            self.failures += 1
            if 0 < self.offer_ms <= time.ticks_diff(time.ticks_ms(), self.lost_ms):
                await self.offer()
            networks = self.networks
            for _ in range(int(4 * wait_s(self.failures, random.random()))):
                if networks is not self.networks:
                    break
                await asyncio.sleep_ms(250)

    def rssi(self):
        """Return the signal in dBm, or None without a network."""
        if self.wlan and self.wlan.isconnected():
            return self.wlan.status("rssi")
        return None

    def address(self):
        """Return our address, or None without a network."""
        if self.wlan and self.wlan.isconnected():
            return self.wlan.ifconfig()[0]
        return None

    async def round(self):
        """Try each network once; return whether one was joined."""
        networks = self.networks
        for network in list(networks):
            try:
                self.wlan.disconnect()
                self.wlan.connect(network["ssid"], network.get("password"))
            except OSError:
                # The radio is busy: next round.
                continue
            for _ in range(JOIN_S * 10):
                await asyncio.sleep_ms(100)
                if networks is not self.networks:
                    return False
                if self.wlan.isconnected():
                    networks.sort(key=lambda other: other is not network)
                    self.ssid = network["ssid"]
                    return True
        return False


def wait_s(failures, share):
    """Return the wait after the n-th failure in a row; `share` is random, from 0 to 1."""
    top_s = min(MAX_WAIT_S, MIN_WAIT_S << min(failures, 6))
    return MIN_WAIT_S + share * (top_s - MIN_WAIT_S)
