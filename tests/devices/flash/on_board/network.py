"""A radio that sees two networks; their passwords are in the code."""

# ruff: noqa
STA_IF = 0
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_WRONG_PASSWORD = 202
STAT_NO_AP_FOUND = 201
NETWORKS = {"kitchen": "correct horse", "caf\u00e9 open": ""}
_state = {"status": 1000}


class WLAN:
    def __init__(self, interface=STA_IF):
        pass

    def active(self, wanted=None):
        return True

    def disconnect(self):
        _state["status"] = 1000

    def scan(self):
        return [
            (b"kitchen", b"\x00\x01\x02\x03\x04\x05", 6, -51, 3, False),
            (b"caf\xc3\xa9 open", b"\x00\x01\x02\x03\x04\x06", 1, -70, 0, False),
            (b"kitchen", b"\x00\x01\x02\x03\x04\x07", 11, -80, 3, False),
            (b"", b"\x00\x01\x02\x03\x04\x08", 11, -60, 3, True),
        ]

    def connect(self, ssid, password=None):
        if ssid not in NETWORKS:
            _state["status"] = STAT_NO_AP_FOUND
        elif (password or "") != NETWORKS[ssid]:
            _state["status"] = STAT_WRONG_PASSWORD
        else:
            _state["status"] = STAT_GOT_IP

    def isconnected(self):
        return _state["status"] == STAT_GOT_IP

    def status(self, what=None):
        return -51 if what == "rssi" else _state["status"]

    def ifconfig(self):
        return ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")
