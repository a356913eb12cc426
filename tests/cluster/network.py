"""Machines of a test on one switch, each in a network namespace of its own: ways between them can be cut, also in one
direction.

A cut is an address of nobody in the sender's table of neighbours: packets go out and reach nobody, as on a broken
wire. Namespaces have no names and are gone with this process. It needs root; `possible` says whether it may.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_NOBODY: Final = "02:00:00:00:ff:ff"
_SWITCH: Final = "switch"
_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """Made by `network`."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._numbers = {name: number for number, name in enumerate(names, 1)}
        self._namespaces: dict[str, int] = {}

    def address(self, name: str) -> str:
        return f"10.77.0.{self._numbers[name]}"

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Sockets and processes that this thread makes are of that machine."""
        before = _own_namespace()
        _enter(self._namespaces[name])
        try:
            yield
        finally:
            _enter(before)
            os.close(before)

    def cut(self, *senders: str, off: tuple[str, ...]) -> None:
        """What the senders send to `off` is lost; what comes from there arrives."""
        for sender in senders:
            self._ip(sender, *(self._neighbour(other, _NOBODY) for other in off))

    def part(self, these: tuple[str, ...], those: tuple[str, ...]) -> None:
        """Nothing goes between them, in no direction."""
        self.cut(*these, off=those)
        self.cut(*those, off=these)

    def heal(self) -> None:
        """All ways are there again."""
        for name in self._numbers:
            self._ip(name, *(self._neighbour(other, _mac(n)) for other, n in self._numbers.items() if other != name))

    def _neighbour(self, name: str, mac: str) -> str:
        return f"neigh replace {self.address(name)} lladdr {mac} nud permanent dev eth0"

    def _open(self, stack: ExitStack) -> None:
        for name in (_SWITCH, *self._numbers):
            self._namespaces[name] = _new_namespace()
            stack.callback(os.close, self._namespaces[name])
        self._ip(_SWITCH, "link add bridge type bridge", "link set bridge up")
        for name, number in self._numbers.items():
            far = f"/proc/{os.getpid()}/fd/{self._namespaces[name]}"
            self._ip(
                _SWITCH,
                f"link add port{number} type veth peer name eth0 netns {far}",
                f"link set port{number} master bridge up",
            )
            self._ip(
                name,
                "link set lo up",
                f"link set eth0 address {_mac(number)} up",
                f"addr add {self.address(name)}/24 dev eth0",
            )
        self.heal()

    def _ip(self, name: str, *commands: str) -> None:
        with self.inside(name):
            _run("ip", "-batch", "-", text="\n".join(commands) + "\n")


def possible() -> bool:
    """Whether this process may make namespaces, and has the tools."""
    try:
        with network("one"):
            return True
    except OSError:
        return False


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """Machines of these names that reach each other. Raises OSError where this process may not make them."""
    made = Network(names)
    with ExitStack() as stack:
        made._open(stack)
        yield made


def _mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def _own_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _new_namespace() -> int:
    before = _own_namespace()
    try:
        if _libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "no network namespace can be made")
        made = _own_namespace()
        _enter(before)
        return made
    finally:
        os.close(before)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "the network namespace cannot be entered")


def _run(*words: str, text: str = "") -> None:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()} for {text!r}")
