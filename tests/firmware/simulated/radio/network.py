"""A radio on the unix port. What it hears is in the file MICROCLAW_AIR, read at every use:

{"networks": {ssid: password, or null for an open one}, "deaf": [ssid of those from which no host is reached]}
"""

import json
import os

STA_IF = 0
AP_IF = 1
AUTH_OPEN = 0
AUTH_WPA2_PSK = 3
STAT_IDLE = 1000
STAT_GOT_IP = 1010
STAT_WRONG_PASSWORD = 202
STAT_NO_AP_FOUND = 201
_told = {"ssid": None, "status": STAT_IDLE, "access_point": {}}


def air():
    with open(os.getenv("MICROCLAW_AIR")) as file:
        return json.load(file)


def reaches_host():
    return joined() is not None and joined() not in air().get("deaf", ())


def joined():
    if _told["ssid"] in air()["networks"]:
        return _told["ssid"]
    return None


class WLAN:
    def __init__(self, interface):
        self.interface = interface

    def active(self, on):
        if self.interface == AP_IF:
            print("radio: access point", "on" if on else "off")

    def config(self, name=None, **values):
        if name == "mac":
            return b"\x02\x00\x00\x00\xab\x0c"
        if name is not None:
            return _told["access_point"][name]
        _told["access_point"] = values
        print("radio:", json.dumps(values))

    def isconnected(self):
        return joined() is not None

    def disconnect(self):
        _told["ssid"] = None

    def connect(self, ssid, password=None):
        networks = air()["networks"]
        print("radio: tries", ssid)
        if ssid not in networks:
            _told["status"] = STAT_NO_AP_FOUND
        elif networks[ssid] != password:
            _told["status"] = STAT_WRONG_PASSWORD
        else:
            _told["status"], _told["ssid"] = STAT_GOT_IP, ssid

    def status(self, what=None):
        if what == "rssi":
            return -40
        return _told["status"]

    def ifconfig(self):
        return ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")

    def scan(self):
        rows = [(b"\xff\xfe", bytes(6), 1, -30, 3, False), (b"", bytes(6), 1, -30, 3, True)]
        rows.extend([(ssid.encode(), bytes(6), 1, -40 - at, 3, False) for at, ssid in enumerate(air()["networks"])])
        return rows
