"""The ioctl and open ABI of ESP-WASMachine: commands, flags and the data_seq structs. Drives no device.

An app calls `ioctl(fd, cmd, &struct)`; the glue linked into it copies each member into a data_seq and passes the
address of a word that holds the data_seq's address. The device finds a frame by its exact type and size. Source:
esp-wdf 54fc350, esp-wasmachine a07f7c2. virtual/nodes/node.py reads a data_seq as the device does.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final

DATA_SEQ_VERSION: Final = 1
DATA_SEQ_HEADER: Final = Struct("<III")  # version, num (capacity), index (frames used)
DATA_SEQ_FRAME: Final = Struct("<HHI")  # type, size, address of the value
MAX_DATA_SEQ_FRAMES: Final = 64  # the longest real one has 26: LEDC with eight channels


class IoctlCommand(IntEnum):
    GPIOCSCFG = 0x8101
    I2CIOCSCFG = 0x8201
    I2CIOCRDWR = 0x8202
    I2CIOCEXCHANGE = 0x8203
    SPIIOCSCFG = 0x8301
    SPIIOCEXCHANGE = 0x8302
    LEDCIOCSCFG = 0x8401
    LEDCIOCSSETFREQ = 0x8402  # no data_seq: the word itself is the frequency
    LEDCIOCSSETDUTY = 0x8403
    LEDCIOCSSETPHASE = 0x8404  # stock firmware tests SETDUTY twice, so this always fails with EINVAL
    LEDCIOCSPAUSE = 0x8405
    LEDCIOCSRESUME = 0x8406


class OpenFlag(IntFlag):
    """WASI values, not those of a POSIX libc."""

    O_APPEND = 1 << 0
    O_NONBLOCK = 1 << 2
    O_SYNC = 1 << 4
    O_CREAT = 1 << 12
    O_DIRECTORY = 1 << 13
    O_EXCL = 1 << 14
    O_TRUNC = 1 << 15
    O_NOFOLLOW = 1 << 24
    O_RDONLY = 1 << 26
    O_WRONLY = 1 << 28
    O_RDWR = (1 << 26) | (1 << 28)


class GpioFlag(IntFlag):
    PULLDOWN = 1 << 0
    PULLUP = 1 << 1
    OPENDRAIN = 1 << 2


class I2cConfigFlag(IntFlag):
    MASTER = 1 << 0
    SDA_PULLUP = 1 << 1
    SCL_PULLUP = 1 << 2
    ADDR_10BIT = 1 << 3


class I2cMessageFlag(IntFlag):
    WRITE = 1 << 0
    CHECK_ACK = 1 << 1
    NO_START = 1 << 2
    NO_END = 1 << 3


class I2cExchangeFlag(IntFlag):
    READ_FIRST = 1 << 0
    CHECK_ACK = 1 << 1
    DELAY = 1 << 2
