"""Ways to write a host that lead where no program may go: the board, the firmware and the host refuse each of them."""

import socket
from typing import Final

LOOPBACK: Final = (
    *("127.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "0127.0.0.1", "127.000.000.001", "2130706433", "017700000001"),
    *("0x7f000001", "0x7f.1", "0x7f.0.0.1", "localhost", "LOCALHOST", "localhost.", "LOCALHOST.", "127.0.0.1."),
    *("[::1]", "::1", "[::ffff:127.0.0.1]", "::ffff:127.0.0.1", "0", "0.0.0.0", "000.0.0.0"),
)
EVERYBODY: Final = ("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "4294967295")
NO_NAMES: Final = (
    *("", " ", "*", "*.example.org", "a b", "127.0.0.1 ", " 127.0.0.1", "127.0.0.1\t", "127.0.0.1\n", "127.0.0.1\0"),
    *("api.example.com@127.0.0.1", "127.0.0.1#api.example.com", "127.0.0.1\\.api.example.com", "127.0.0.1%2f"),
    *("１27.0.0.1", "127。0。0。1", "ⓛocalhost", "x" * 300),
)
FORMS: Final = LOOPBACK + EVERYBODY + NO_NAMES


def own_address() -> str | None:
    """The address by which others reach this computer; None if it has only its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: it only chooses the own address.
            probe.connect(("198.51.100.7", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])
