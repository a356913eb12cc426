"""Wi-Fi by the board's own radio: what it sees, whether a password is right, whether the host can be reached."""

from __future__ import annotations

import difflib
import ipaddress
from dataclasses import dataclass
from typing import Final

from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.flash.board_answers import nonsense, read_rows, short_text, whole
from microclaw.flash.raw_repl import RawRepl
from microclaw.text import clean_text

MAX_SSID_BYTES: Final = 32
MIN_PASSWORD: Final = 8
MAX_PASSWORD: Final = 63
_WRONG_PASSWORD: Final = 202  # network.STAT_WRONG_PASSWORD and ..._NO_AP_FOUND of MicroPython's ESP32 port
_NO_SUCH_NETWORK: Final = 201
_ENTERPRISE: Final = 5
_MAX_STATUS: Final = 65_535

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
"""It tries again by itself. 202 counts after 5 s: a router that did not answer in time looks like a wrong password."""
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


@dataclass(frozen=True, slots=True)
class Network:
    """As the board sees it; `rssi` in dBm."""

    ssid: str
    rssi: int
    is_open: bool
    is_enterprise: bool


async def scan(repl: RawRepl) -> tuple[Network, ...]:
    """The networks with a name, the strongest first, each once."""
    best: dict[str, Network] = {}
    answer = await repl.run(_SCAN, 30.0)
    try:
        found = [network for row in read_rows(answer) if (network := _network(*row)) is not None]
    except (ValueError, TypeError) as exc:
        raise nonsense("the Wi-Fi around it", exc) from exc
    for network in found:
        if network.ssid not in best or best[network.ssid].rssi < network.rssi:
            best[network.ssid] = network
    return tuple(sorted(best.values(), key=lambda network: -network.rssi))


def _network(name: object, rssi: object, security: object) -> Network | None:
    """None without a name, or for one in another alphabet's bytes: that can be given with --wifi alone."""
    try:
        ssid = bytes.fromhex(short_text(name, 2 * MAX_SSID_BYTES)).decode("utf-8")
    except UnicodeDecodeError:
        return None
    kind = whole(security, 0, 255)
    return Network(ssid, whole(rssi, -200, 200), kind == 0, kind == _ENTERPRISE) if ssid else None


def check_heard(ssid: str, seen: tuple[Network, ...]) -> Network:
    """The network of this name; ConfigError when the board does not see it, with the name that may have been meant."""
    network = next((network for network in seen if network.ssid == ssid), None)
    if network is not None:
        return network
    folded = {n.ssid.casefold().strip(): n.ssid for n in reversed(seen)}
    similar = difflib.get_close_matches(ssid.casefold().strip(), folded, n=1, cutoff=0.7)
    meant = f"do you mean {clean_text(folded[similar[0]], one_line=True)}? " if similar else ""
    names = ", ".join(clean_text(n.ssid, one_line=True) for n in seen[:8]) or "none"
    raise ConfigError(
        f"the board does not see the Wi-Fi {clean_text(ssid, one_line=True)}; it sees {names}",
        next_step=f"{meant}it only hears 2.4 GHz, never 5 GHz: name the 2.4 GHz network, or bring the board nearer",
    )


def check_network(ssid: str, password: str | None, seen: tuple[Network, ...]) -> None:
    """ConfigError when the board cannot join it: not seen (5 GHz), enterprise, or a password of impossible length."""
    if not 0 < len(ssid.encode()) <= MAX_SSID_BYTES:
        raise ConfigError(f"a Wi-Fi name has 1 to {MAX_SSID_BYTES} bytes", next_step="copy it again")
    shown = clean_text(ssid, one_line=True)
    network = check_heard(ssid, seen)
    if network.is_enterprise:
        raise ConfigError(
            f"the Wi-Fi {shown} wants a user name (WPA enterprise), which MicroPython does not have",
            next_step="take a network with a password alone",
        )
    if not network.is_open and not MIN_PASSWORD <= len((password or "").encode()) <= MAX_PASSWORD:
        raise ConfigError(
            f"the password of {shown} must have {MIN_PASSWORD} to {MAX_PASSWORD} characters", next_step="type it again"
        )


async def switch_off(repl: RawRepl) -> None:
    """The radio takes memory and time while files are written."""
    await repl.run("import network\nnetwork.WLAN(network.STA_IF).active(False)")


async def join(repl: RawRepl, ssid: str, password: str | None) -> str:
    """Connect the board; its address. ConfigError when the password is wrong."""
    code = _JOIN.replace("NETWORK", ascii((ssid, password or None)))
    shown = clean_text(ssid, one_line=True)
    answer = await repl.run(code, 40.0)
    try:
        [[joined, number, address]] = read_rows(answer)
        status = whole(number, -_MAX_STATUS, _MAX_STATUS)
        if joined is True:
            return str(ipaddress.ip_address(short_text(address, 45)))
    except (ValueError, TypeError) as exc:
        raise nonsense("its Wi-Fi", exc) from exc
    if status == _WRONG_PASSWORD:
        raise ConfigError(f"the password of {shown} is wrong", next_step="type it again")
    if status == _NO_SUCH_NETWORK:
        raise ConfigError(f"the Wi-Fi {shown} went out of reach", next_step="bring the board nearer, and run it again")
    raise ConfigError(
        f"the board did not get into the Wi-Fi {shown} within 15 s (state {status})",
        next_step="check the password; a router that lets in known devices alone must be told of this one",
    )


async def check_host(repl: RawRepl, host: str, port: int) -> None:
    """DeviceUnreachable when the board cannot open a connection to the host."""
    answer = (await repl.run(_REACH.replace("ADDRESS", ascii((host, port))), 20.0)).strip()
    if answer != "open":
        raise DeviceUnreachable(
            f"from its Wi-Fi the board does not reach this host at {host}:{port}",
            next_step=f"open port {port} in this machine's firewall, and start the host for the network: "
            "microclaw up --link 0.0.0.0:8443; board and host must be in one network (not a guest one)",
        )
