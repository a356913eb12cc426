"""A board that waits for the rest of another client's frame is freed by the host."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from tests.stories.conftest import Host

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(10, GPIO_OUT); every(100, tick); }
"""
LEAD, INSTALL = b"\x12\x34", 4  # docs/protocols/wasmachine.md


def test_another_clients_half_install_keeps_nobody_out(host: Host, tmp_path: Path) -> None:
    [board] = host.facts["boards"]
    address = next(one for one in board["transports"] if one.startswith("wasmachine://"))
    name, _, port = address.removeprefix("wasmachine://").rpartition(":")
    with socket.create_connection((name, int(port))) as other:
        other.sendall(LEAD + struct.pack(">HI", INSTALL, 5_488) + bytes(692))
    listed = host.run("app", "list", "--json")
    assert (listed.code, listed.json["apps"]) == (0, [])
    (tmp_path / "blink.c").write_text(BLINK)
    assert host.run("run", str(tmp_path / "blink.c"), "-d", "virtual-1", "-y").code == 0
