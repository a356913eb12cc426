"""`network` on the simulated board: one Wi-Fi radio, whose surroundings the bench decides. It carries no packets."""

from _board import call as _call

STA_IF = 0
AP_IF = 1
MODE_11B = 1
AUTH_OPEN = 0
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_BEACON_TIMEOUT = 200
STAT_ASSOC_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204
_hostname = "esp32"


class WLAN:
    IF_STA = STA_IF
    IF_AP = AP_IF
    SEC_OPEN = 0
    PM_NONE = 0
    PM_PERFORMANCE = 1

    def __init__(self, interface=STA_IF):
        self._if = interface

    def active(self, on=None):
        return _call("wlan_active", self._if, None if on is None else bool(on))

    def connect(self, ssid=None, key=None, *, bssid=None):
        _call("wlan_connect", ssid, key)

    def disconnect(self):
        _call("wlan_disconnect")

    def isconnected(self):
        return _call("wlan_connected", self._if)

    def status(self, what=None):
        return _call("wlan_rssi" if what == "rssi" else "wlan_status")

    def scan(self):
        """Rows of (ssid, bssid, channel, rssi, security, hidden)."""
        return [(ssid.encode(), bytes(6), 1, rssi, security, False) for ssid, rssi, security in _call("wlan_scan")]

    def ifconfig(self, config=None):
        return tuple(_call("wlan_ifconfig", self._if))

    def ipconfig(self, what=None, **options):
        address, mask = _call("wlan_ifconfig", self._if)[:2]
        return (address, mask) if what == "addr4" else None

    def config(self, what=None, **options):
        if what == "mac":
            return bytes.fromhex(_call("unique_id"))
        if what is not None:
            return _call("wlan_config", self._if, what)
        for name, value in options.items():
            _call("wlan_config", self._if, name, value)


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    _hostname = name


def country(code=None):
    return "XX"


def phy_mode(mode=None):
    return 7
