"""Wi-Fi by the board's own radio: scans, tries a password, and tries to reach the host."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final

from msgspec import Meta, Struct

from microclaw.devices.flash.raw_repl import RawRepl, nonsense
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.text import clean_text

MAX_SSID_BYTES: Final = 32  # IEEE 802.11
MIN_PASSWORD: Final = 8
MAX_PASSWORD: Final = 63
# network.STAT_WRONG_PASSWORD of MicroPython's ESP32 port.
_WRONG_PASSWORD: Final = 202
_ENTERPRISE: Final = 5
_CONTROL: Final = re.compile(r"[\0-\x1f\x7f]")
_ScanRow = tuple[
    Annotated[str, Meta(pattern=rf"\A(?:[0-9a-f]{{2}}){{0,{MAX_SSID_BYTES}}}\Z")],
    Annotated[int, Meta(ge=-200, le=200)],
    Annotated[int, Meta(ge=0, le=255)],
]
_Joined = tuple[bool, Annotated[int, Meta(ge=-65_535, le=65_535)], Annotated[str, Meta(max_length=45)]]

_SCAN: Final = """\
import network,json
from binascii import hexlify
n=network.WLAN(network.STA_IF)
n.active(True)
for e in n.scan():print(json.dumps([hexlify(e[0]).decode(),e[3],e[4]]))
"""
_JOIN: Final = """\
import network,time,json
n=network.WLAN(network.STA_IF)
n.active(True)
try:n.disconnect()
except OSError:pass
n.connect(*NETWORK)
for i in range(150):
    if n.isconnected() or i>49 and n.status()==202:break
    time.sleep_ms(100)
print(json.dumps([n.isconnected(),n.status(),n.ifconfig()[0]]))
"""
"""The radio tries again by itself. 202 counts only after 5 s: it may also be a router that did not answer in time."""
OFF: Final = "import network\nnetwork.WLAN(network.STA_IF).active(False)"
"""The radio takes memory and time while files are written."""
_REACH: Final = """\
import socket
s=socket.socket()
s.settimeout(5)
try:
    s.connect(socket.getaddrinfo(*ADDRESS)[0][-1])
    print('open')
except OSError as e:print('closed',e)
s.close()
"""


class Network(Struct, frozen=True):
    ssid: str
    is_open: bool
    is_enterprise: bool
    dbm: int


async def scan(repl: RawRepl) -> dict[str, Network]:
    """Return the networks by name, the strongest first; without networks whose name is empty or not UTF-8."""
    rows = await repl.rows(_SCAN, _ScanRow, "the Wi-Fi around it", 30.0)
    networks: dict[str, Network] = {}
    for name, dbm, kind in sorted(rows, key=lambda row: -row[1]):
        ssid = bytes.fromhex(name).decode("utf-8", "replace")
        if ssid and "\ufffd" not in ssid:
            network = Network(ssid, is_open=kind == 0, is_enterprise=kind == _ENTERPRISE, dbm=dbm)
            networks.setdefault(ssid, network)
    return networks


def check_heard(ssid: str, seen: dict[str, Network]) -> None:
    """Raise ConfigError, with the names of the visible networks, if the board does not see this one."""
    if ssid in seen:
        return
    names = ", ".join(clean_text(name, one_line=True) for name in [*seen][:8]) or "none"
    text = f"the board does not see the Wi-Fi {clean_text(ssid, one_line=True)}; it sees {names}"
    raise ConfigError(text, next_step="microclaw flash --wifi SSID of a 2.4 GHz network")


def check_sizes(ssid: str, password: str | None) -> None:
    """Raise ConfigError for a name or password that no Wi-Fi can have."""
    size = len((password or "").encode(errors="replace"))
    has_control = _CONTROL.search(ssid + (password or ""))
    if has_control or not 0 < len(ssid.encode(errors="replace")) <= MAX_SSID_BYTES:
        raise ConfigError(f"a Wi-Fi name has 1 to {MAX_SSID_BYTES} bytes", next_step="copy it again")
    if size and not MIN_PASSWORD <= size <= MAX_PASSWORD:
        text = f"a Wi-Fi password has {MIN_PASSWORD} to {MAX_PASSWORD} characters"
        raise ConfigError(text, next_step="type it again")


def check_network(ssid: str, password: str | None, seen: dict[str, Network]) -> None:
    """Raise ConfigError if the board cannot join: not seen (5 GHz), enterprise, or an impossible password."""
    check_sizes(ssid, password)
    check_heard(ssid, seen)
    shown = clean_text(ssid, one_line=True)
    if seen[ssid].is_enterprise:
        raise ConfigError(
            f"the Wi-Fi {shown} is WPA enterprise, which MicroPython lacks", next_step="name another Wi-Fi"
        )
    if not seen[ssid].is_open and not password:
        raise ConfigError(f"the Wi-Fi {shown} needs a password", next_step="microclaw flash --wifi-password @FILE")


async def join(repl: RawRepl, ssid: str, password: str | None) -> str:
    """Connect the board and return its address. ConfigError if the password is wrong."""
    code = _JOIN.replace("NETWORK", ascii((ssid, password or None)))
    rows = await repl.rows(code, _Joined, "its Wi-Fi", 40.0)
    if len(rows) != 1:
        raise nonsense("its Wi-Fi")
    joined, status, address = rows[0]
    if joined:
        try:
            return str(ipaddress.ip_address(address))
        except ValueError:
            raise nonsense("its Wi-Fi") from None
    shown = clean_text(ssid, one_line=True)
    if status == _WRONG_PASSWORD:
        raise ConfigError(f"the password of {shown} is wrong", next_step="type it again")
    text = f"the board did not get into the Wi-Fi {shown} within 15 s (state {status})"
    raise ConfigError(text, next_step="bring it nearer; check the password, and which devices the router lets in")


async def check_host(repl: RawRepl, host: str, port: int) -> None:
    """Raise DeviceUnreachable if the board cannot open a connection to the host."""
    answer = (await repl.run(_REACH.replace("ADDRESS", ascii((host, port))), 20.0)).strip()
    if answer != "open":
        step = f"open port {port} in the firewall; microclaw up --link 0.0.0.0:8443; no guest network"
        raise DeviceUnreachable(f"from its Wi-Fi the board does not reach this host at {host}:{port}", next_step=step)
