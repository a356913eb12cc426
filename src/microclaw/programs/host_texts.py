"""The hosts that texts name: addresses as a program has them in its source, with the port if the text has one."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from microclaw.addresses import DEFAULT_PORTS

COMPUTED_HOSTS: Final = "the hosts that this program talks to are not in its text"
NAME_HOSTS: Final = 'write the address into the program, or name it when you install it: --hosts "HOST:PORT"'
ITSELF: Final = "a program cannot talk to the board itself, which loopback addresses and localhost are"
NAME_SERVER: Final = "write the address that the server has in your network"
_ITSELF: Final = re.compile(r"(?:[\w.-]{1,240}\.)?localhost\.?|127(?:\.\d{1,3}){3}", re.IGNORECASE)
_QUOTED_ITSELF: Final = re.compile(rf"[\"'](?:[a-z]{{1,10}}://)?(?:{_ITSELF.pattern})(?:[:/\"'])", re.IGNORECASE)
_URL: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?:[^/?#@\s]*@)?(?P<host>[^/:?#\s@]*)(?::(?P<port>\d+))?(?P<end>[/?#]?)", re.IGNORECASE
)
_HOST_PORT: Final = re.compile(r"(?P<host>[^/:\s]+):(?P<port>\d{1,5})")
_NAME: Final = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z][a-z0-9-]*[a-z0-9]", re.I)
_ADDRESS: Final = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}")
_PLACEHOLDER: Final = re.compile(r"(?:[\dx]{1,3}\.){3}[\dx]{1,3}", re.IGNORECASE)
_MAX_PORT: Final = 65535
_PORT_DIGITS: Final = 5
_FIRST_MULTICAST: Final = 224
_END_WORDS: Final = """
app arpa biz click cloud club com dev edu example gov home info int internal lan link live local mil mobi name net
online org page pro shop site space store systems tech test top website world xyz zone
"""
_NO_COUNTRY_WORDS: Final = "db gz js md on py sh so ts up"
_ENDS: Final = frozenset(_END_WORDS.split())
"""The ends by which a text is known as the name of a host, besides the two letters of countries."""
_NO_COUNTRIES: Final = frozenset(_NO_COUNTRY_WORDS.split())


class HostText(Struct, frozen=True):
    """A host that a text names; `port` is None if the text says none."""

    host: str
    port: int | None = None


def host_of_text(text: str, *, is_whole: bool = True) -> HostText | None:
    """Return the host that a text is an address of, or None. Of a text that is not whole the end is unknown."""
    url = _URL.match(text)
    if url is not None:
        return _host_of_url(url, is_whole=is_whole)
    pair = _HOST_PORT.fullmatch(text)
    if pair is not None and _has_known_form(pair["host"]) and is_port(int(pair["port"])):
        return HostText(pair["host"].lower(), int(pair["port"]))
    if is_whole and _has_known_form(text):
        return HostText(text.lower())
    return None


def is_computed_url(text: str) -> bool:
    """Return True for the beginning of an address whose host the program puts in: "http://%s/"."""
    url = _URL.match(text)
    return url is not None and url["scheme"].lower() in DEFAULT_PORTS and not is_host(url["host"])


def is_placeholder(text: str) -> bool:
    """Return True for an address in which something stands for numbers, as in tutorials: 192.168.1.xxx."""
    return _PLACEHOLDER.fullmatch(text) is not None and _ADDRESS.fullmatch(text) is None


def is_itself(host: str) -> bool:
    """Return True for an address or a name by which a board means itself."""
    return _ITSELF.fullmatch(host) is not None


def names_itself(source: str) -> bool:
    """Return True if a text in a program's source is an address of the board itself, also a URL of it."""
    return _QUOTED_ITSELF.search(source) is not None


def is_host(text: str) -> bool:
    """Return True for any name or address of another machine, also one without a point."""
    if is_placeholder(text):
        return False
    if _ADDRESS.fullmatch(text):
        return _is_of_machine(text)
    return _NAME.fullmatch(text) is not None and text.lower() != "localhost"


def is_port(number: int) -> bool:
    return 0 < number <= _MAX_PORT


def _host_of_url(url: re.Match[str], *, is_whole: bool) -> HostText | None:
    scheme = url["scheme"].lower()
    host = url["host"].lower()
    if scheme not in DEFAULT_PORTS or not is_host(host):
        return None
    digits = url["port"] or str(DEFAULT_PORTS[scheme])
    if not is_whole and not url["end"]:
        if url.string[url.end("host") :].startswith(":"):
            # The port is not in the text.
            return HostText(host)
        if _ADDRESS.fullmatch(host) or not _has_known_form(host):
            # More of the host may follow.
            return None
    # int() takes no text of thousands of digits.
    digits = digits.lstrip("0")
    if len(digits) > _PORT_DIGITS or not is_port(int(digits or "0")):
        return None
    return HostText(host, int(digits))


def _has_known_form(text: str) -> bool:
    """Return True for an address in numbers, or a name that ends as names of hosts do."""
    if _ADDRESS.fullmatch(text):
        return _is_of_machine(text)
    end = text.lower().rpartition(".")[2]
    is_country = len(end) == 2 and end not in _NO_COUNTRIES
    is_known = "." in text and (is_country or end in _ENDS)
    return is_known and _NAME.fullmatch(text) is not None


def _is_of_machine(address: str) -> bool:
    """Return True for an address that one other machine may have: no loopback, netmask, broadcast or multicast."""
    parts = [int(part) for part in address.split(".")]
    is_plain = 0 < parts[0] < _FIRST_MULTICAST and parts[0] != 127
    return is_plain and max(parts) <= 255 and parts[3] != 255
