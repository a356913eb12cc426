"""The module `network` of one program: a view of the Wi-Fi that the firmware keeps. It changes nothing."""

from errno import EACCES, EOPNOTSUPP

# As stock images for the ESP32 have them (ports/esp32/modnetwork_globals.h); one text takes less memory than a dict.
_NUMBERS = (
    " STA_IF=0 AP_IF=1 STAT_IDLE=1000 STAT_CONNECTING=1001 STAT_GOT_IP=1010 STAT_BEACON_TIMEOUT=200 "
    "STAT_NO_AP_FOUND=201 STAT_WRONG_PASSWORD=202 STAT_ASSOC_FAIL=203 STAT_HANDSHAKE_TIMEOUT=204 AUTH_OPEN=0 "
    "AUTH_WEP=1 AUTH_WPA_PSK=2 AUTH_WPA2_PSK=3 AUTH_WPA_WPA2_PSK=4 AUTH_WPA3_PSK=6 AUTH_WPA2_WPA3_PSK=7 MODE_11B=1 "
    "MODE_11G=2 MODE_11N=4 PM_NONE=0 PM_PERFORMANCE=1 PM_POWERSAVE=2 IF_STA=0 IF_AP=1 "
)
_OF_WLAN = ("PM_", "IF_")
_SHOWN = " mac ssid essid channel hostname dhcp_hostname txpower protocol "
_NONE = "no %s for programs: the firmware keeps the board's Wi-Fi"
# Without Wi-Fi: the unix port.
_WIRED = ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")


def module(env):
    return View(env)


def _number(name):
    """Return a constant of the module; raises AttributeError for another name."""
    start = _NUMBERS.find(" %s=" % name)
    if start < 0:
        raise AttributeError(_NONE % name)
    return int(_NUMBERS[start + len(name) + 2 :].split(" ", 1)[0])


class View:
    """`network` of one program."""

    def __init__(self, env):
        self.WLAN = Interfaces(env)

    def __getattr__(self, name):
        if name[:3] in _OF_WLAN:
            raise AttributeError(name)
        return _number(name)

    def hostname(self, *_):
        return self.WLAN(0).config("hostname")

    def country(self, *_):
        return "XX"

    def phy_mode(self, *_):
        return 7


class Interfaces:
    """`network.WLAN`: called, it returns an interface; its constants are here, too."""

    def __init__(self, env):
        self._env = env

    def __getattr__(self, name):
        if name[:3] not in _OF_WLAN:
            raise AttributeError(name)
        return _number(name)

    def __call__(self, interface=0):
        if interface == 0:
            return Station(self._env)
        return AccessPoint()


class Station:
    """The board in its Wi-Fi."""

    def __init__(self, env):
        self._env = env
        self._real = env._board.network and env._board.wlan()

    def __getattr__(self, name):
        if name[:3] not in _OF_WLAN:
            raise AttributeError(_NONE % name)
        return _number(name)

    def active(self, *_):
        return True

    def isconnected(self):
        return not self._real or self._real.isconnected()

    def connect(self, ssid=None, key=None, **_):
        """Do nothing for the board's own network; OSError for another."""
        own = self._ssid()
        if ssid is not None and own is not None and ssid != own:
            text = "the board is in the Wi-Fi %r, and no program changes that: microclaw wifi does"
            raise OSError(EACCES, text % own)

    def disconnect(self):
        pass

    def status(self, what=None):
        if not self._real:
            return 0 if what else 1010
        return self._real.status(what) if what else self._real.status()

    def ifconfig(self, *_):
        if not self._real:
            return _WIRED
        return self._real.ifconfig()

    def ipconfig(self, what=None, **_):
        address, mask, gateway, _dns = self.ifconfig()
        values = {"addr4": (address, mask), "gw4": gateway, "dhcp4": True, "has_dhcp4": True}
        if what is None:
            return None
        if what not in values:
            raise ValueError("unknown config param")
        return values[what]

    def config(self, what=None, **_):
        """Return a value; what a program would set stays as it is."""
        if what is None:
            return None
        if " %s " % what not in _SHOWN:
            raise ValueError("unknown config param")
        if not self._real:
            return b"\x02\0\0\0\0\0" if what == "mac" else ""
        return self._real.config(what)

    def scan(self, *_):
        raise OSError(EOPNOTSUPP, "programs do not look for networks: microclaw wifi scan does")

    def _ssid(self):
        """Return the network's name; None if the board cannot tell it."""
        try:
            return self._real and self._real.config("ssid") or None
        except (OSError, ValueError, KeyError):
            return None


class AccessPoint:
    """The board's own access point, which programs can only switch off: it is off."""

    def active(self, is_on=False):
        if is_on:
            self._refuse()
        return False

    def isconnected(self):
        return False

    def status(self, *_):
        return 1000

    def ifconfig(self, *_):
        return _WIRED

    def config(self, *_, **settings):
        self._refuse()

    def _refuse(self):
        raise OSError(EOPNOTSUPP, "programs open no access point: the board is in its Wi-Fi")
