"""The Wi-Fi of a virtual board as the firmware sees it: always connected, in a usual house. There is no radio."""

STA_IF = 0
AP_IF = 1
_ADDRESSES = ("192.168.1.60", "255.255.255.0", "192.168.1.1", "192.168.1.1")
_CONFIG = {"mac": b"\x02microc"[:6], "channel": 6, "hostname": "microclaw", "txpower": 20, "protocol": 7}


class WLAN:
    def __init__(self, interface=STA_IF):
        self._interface = interface

    def active(self):
        return self._interface == STA_IF

    def isconnected(self):
        return True

    def ifconfig(self):
        return _ADDRESSES

    def status(self, what=None):
        if what == "rssi":
            return -55
        return 1010

    def config(self, what):
        """Return a value; ValueError for the network's name, which is that of the house where the program will run."""
        if what not in _CONFIG:
            raise ValueError("unknown config param")
        return _CONFIG[what]
