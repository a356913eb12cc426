from __future__ import annotations

import pytest

from microclaw.addresses import address_range, is_loopback, single_address


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
