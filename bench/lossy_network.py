"""Two network namespaces joined by a process that loses and delays packets (for kernels without netem). Linux, root.

Packets are lost at random in both directions, and the others are late. It knows no protocol.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HOST = "10.99.0.1"
DEVICE = "10.99.0.2"
_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
_TUN_WITHOUT_INFO: Final = 0x1001  # IFF_TUN | IFF_NO_PI
_MAX_PACKET: Final = 2048
_IDLE_S: Final = 0.05
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def missing() -> str | None:
    """The part that this machine lacks for it, or None."""
    if os.geteuid() != 0:
        return "it needs root, for network namespaces"
    if shutil.which("ip") is None:
        return "it needs iproute2 (the command ip)"
    if not Path("/dev/net/tun").exists():
        return "it needs /dev/net/tun"
    tried = subprocess.run([sys.executable, "-m", "bench.lossy_network"], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return None
    return f"network namespaces are not permitted: {tried.stderr.strip()}"


@dataclass
class Network:
    """`delay_s` is each way; `loss` is the share of the packets, of either side, that never arrive."""

    host_space: int
    device_space: int
    delay_s: float
    loss: float = 0.0
    lost: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def enter_host(self) -> None:
        """Sockets and processes that this thread makes from now on are on the host's side."""
        _enter(self.host_space)

    def enter_device(self) -> None:
        _enter(self.device_space)

    def carry(self, host_tun: int, device_tun: int, seed: int) -> None:
        """Until `end`: packets from one side to the other."""
        rng = random.Random(seed)
        late: list[tuple[float, int, int, bytes]] = []
        number = 0
        while not self._over.is_set():
            if late:
                wait_s = min(_IDLE_S, max(0.0, late[0][0] - time.monotonic()))
            else:
                wait_s = _IDLE_S
            readable, _, _ = select.select([host_tun, device_tun], [], [], wait_s)
            now_s = time.monotonic()
            for tun in readable:
                packet = os.read(tun, _MAX_PACKET)
                if rng.random() < self.loss:
                    self.lost += 1
                    continue
                number += 1
                other = host_tun if tun == device_tun else device_tun
                heapq.heappush(late, (now_s + self.delay_s, number, other, packet))
            while late and late[0][0] <= now_s:
                _, _, tun, packet = heapq.heappop(late)
                os.write(tun, packet)

    def end(self) -> None:
        self._over.set()


@contextmanager
def lossy_network(delay_s: float, seed: int) -> Iterator[Network]:
    """This thread is in the device's namespace inside, and back where it was afterwards."""
    opened = [os.open("/proc/thread-self/ns/net", os.O_RDONLY)]
    try:
        for address in (HOST, DEVICE):
            opened += _make_space(address)
        _, host_space, host_tun, device_space, device_tun = opened
        network = Network(host_space, device_space, delay_s)
        carrying = threading.Thread(target=network.carry, args=(host_tun, device_tun, seed), name="lossy network")
        carrying.start()
        try:
            yield network
        finally:
            network.end()
            carrying.join()
    finally:
        _enter(opened[0])
        for file in opened:
            os.close(file)


def _make_space(address: str) -> tuple[int, int]:
    """A namespace that this thread enters, and its end of the wire."""
    if _LIBC.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace can be made")
    space = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"lossy0", _TUN_WITHOUT_INFO))
    for words in (f"addr add {address}/24 dev lossy0", "link set lossy0 up", "link set lo up"):
        subprocess.run(["ip", *words.split()], check=True)
    return space, tun


def _enter(space: int) -> None:
    if _LIBC.setns(space, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "the network namespace cannot be entered")


def main() -> None:
    """Try whether one can be made, in a process that it may break."""
    try:
        with lossy_network(0.0, seed=0):
            pass
    except (OSError, subprocess.CalledProcessError) as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
