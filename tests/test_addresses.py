from __future__ import annotations

import pytest

from microclaw.addresses import is_loopback


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
