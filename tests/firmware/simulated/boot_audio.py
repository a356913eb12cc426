"""As boot.py, with I2S: samples come from and go to TCP sockets of a test; the button is the number in a file."""

import io
import os
import select
import socket
import struct
import sys

sys.path.insert(0, sys.argv[2])
import machine
import start
from micropython import const

_POLL = const(3)


class I2S(io.IOBase):
    """The socket's first bytes say which it is: "in" or "out", and the rate."""

    RX = 0
    TX = 1
    MONO = 0
    STEREO = 1

    def __init__(self, id, *, sck, ws, sd, mode, bits, format, rate, ibuf):
        if (bits, format) != (16, I2S.MONO):
            raise ValueError("invalid format")
        self._socket = socket.socket()
        self._socket.connect(socket.getaddrinfo("127.0.0.1", int(os.getenv("MICROCLAW_I2S")))[0][-1])
        self._socket.write(struct.pack("<BI", mode, rate))
        self._socket.setblocking(False)
        self._poller = select.poll()
        self._poller.register(self._socket, select.POLLIN if mode == I2S.RX else select.POLLOUT)

    def readinto(self, buffer):
        return self._socket.readinto(buffer)

    def write(self, buffer):
        return self._socket.write(buffer)

    def ioctl(self, request, argument):
        if request == _POLL:
            if self._poller.poll(0):
                return self._poller.poll(0)[0][1] & argument
            return 0
        return 0

    def deinit(self):
        self._socket.close()


class Pin(machine.Pin):
    def value(self, level=None):
        if level is None and self.number == 0:
            with open(os.getenv("MICROCLAW_BUTTON")) as file:
                return 0 if file.read().strip() == "down" else 1
        return super().value(level)


machine.I2S = I2S
machine.Pin = Pin
start.main(sys.argv[1])
