from __future__ import annotations

import re
from pathlib import Path

import pytest

import microclaw
from microclaw.addresses import address_range, bracketed, is_loopback, single_address


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("localhost", "127.0.0.1", "127.8.9.1", "::1")),
        *(
            (host, False)
            for host in ("", "0.0.0.0", "::", "192.168.1.2", "localhost.example", "127.0.0.1.example", "[::1]")
        ),
    ],
)
def test_only_this_machines_own_addresses_are_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("address", "one", "several"),
    [
        ("192.0.2.9", "192.0.2.9", "192.0.2.0/24"),
        ("::ffff:192.0.2.9", "192.0.2.9", "192.0.2.0/24"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/64"),
        ("?", "?", "?"),
    ],
)
def test_one_machines_address_and_what_it_can_choose_from(address: str, one: str, several: str) -> None:
    assert single_address(address) == one
    assert address_range(address) == several


@pytest.mark.parametrize(
    ("host", "written"), [("::1", "[::1]"), ("192.0.2.9", "192.0.2.9"), ("host.example", "host.example")]
)
def test_an_ipv6_address_stands_in_brackets(host: str, written: str) -> None:
    assert bracketed(host) == written


def test_no_other_file_writes_the_brackets_itself() -> None:
    by_hand = re.compile(r"""["']\[\{[a-z_.]+\}\](?::\{[a-z_.]+\})?["'] if ["']:["'] in""")
    sources = Path(microclaw.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if by_hand.search(path.read_text())] == ["addresses.py"]
