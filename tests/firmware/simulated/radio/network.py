"""A radio on the unix port. What it hears is in the file MICROCLAW_AIR, read at every use:

{"networks": {ssid: password, or null for an open one}, "deaf": [ssid of those from which no host is reached]}
"""

import json
import os

STA_IF, AP_IF = 0, 1
AUTH_OPEN, AUTH_WPA2_PSK = 0, 3
STAT_IDLE, STAT_GOT_IP, STAT_WRONG_PASSWORD, STAT_NO_AP_FOUND = 1000, 1010, 202, 201
_told = {"ssid": None, "status": STAT_IDLE, "access_point": {}}


def air():
    with open(os.getenv("MICROCLAW_AIR")) as file:
        return json.load(file)


def reaches_host():
    return joined() is not None and joined() not in air().get("deaf", ())


def joined():
    return _told["ssid"] if _told["ssid"] in air()["networks"] else None


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
        return -40 if what == "rssi" else _told["status"]

    def ifconfig(self):
        return ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")

    def scan(self):
        rows = [(b"\xff\xfe", bytes(6), 1, -30, 3, False), (b"", bytes(6), 1, -30, 3, True)]
        rows.extend([(ssid.encode(), bytes(6), 1, -40 - at, 3, False) for at, ssid in enumerate(air()["networks"])])
        return rows
