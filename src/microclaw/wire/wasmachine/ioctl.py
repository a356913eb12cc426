"""The ioctl and open ABI of ESP-WASMachine: commands, flags, data_seq frames, structs; it drives no device.

An app calls `ioctl(fd, cmd, &struct)`; the glue linked into it copies each member into a data_seq and passes the
address of a word that holds the data_seq's address. The device matches a frame by type and size exactly. Source:
esp-wdf 54fc350, esp-wasmachine a07f7c2; struct layouts verified with clang -fdump-record-layouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from struct import Struct
from types import MappingProxyType
from typing import Final

from microclaw.errors import ProtocolError

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


@dataclass(frozen=True, slots=True)
class FrameField:
    """A frame of a data_seq: its (type, size) pair and the struct member it carries, at `offset` in the struct.

    `condition` names the mode in which the member is sent ("master", "slave"); None is always.
    """

    type: int
    size_bytes: int
    name: str
    offset: int
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class IoctlLayout:
    """How a command's argument is laid out: the C struct (wasm32), its size and its frames in order of sending."""

    struct: str | None
    size_bytes: int
    frames: tuple[FrameField, ...]


_F = FrameField
IOCTL_LAYOUTS: Final[Mapping[IoctlCommand, IoctlLayout]] = MappingProxyType(
    {
        IoctlCommand.GPIOCSCFG: IoctlLayout("gpioc_cfg_t", 4, (_F(1, 4, "flags", 0),)),
        IoctlCommand.I2CIOCSCFG: IoctlLayout(
            "i2c_cfg_t",
            16,
            (
                _F(1, 2, "sda_pin", 0),
                _F(2, 2, "scl_pin", 2),
                _F(3, 4, "flags", 4),
                _F(4, 4, "clock", 8, "master"),
                _F(5, 4, "max_clock", 8, "slave"),
                _F(6, 2, "addr", 12, "slave"),
            ),
        ),
        IoctlCommand.I2CIOCRDWR: IoctlLayout(
            "i2c_msg_t", 16, (_F(1, 2, "flags", 0), _F(2, 2, "addr", 4), _F(4, 4, "size", 12), _F(3, 4, "buffer", 8))
        ),
        IoctlCommand.I2CIOCEXCHANGE: IoctlLayout(
            "i2c_ex_msg_t",
            28,
            (
                _F(1, 2, "flags", 0),
                _F(2, 2, "addr", 4),
                _F(3, 4, "delay_ms", 8),
                _F(4, 4, "tx_buffer", 12),
                _F(5, 4, "tx_size", 16),
                _F(6, 4, "rx_buffer", 20),
                _F(7, 4, "rx_size", 24),
            ),
        ),
        IoctlCommand.SPIIOCSCFG: IoctlLayout(
            "spi_cfg_t",
            12,
            (
                _F(1, 1, "cs_pin", 0),
                _F(2, 1, "sclk_pin", 1),
                _F(3, 1, "mosi_pin", 2),
                _F(4, 1, "miso_pin", 3),
                _F(5, 4, "flags", 4),
                _F(6, 4, "clock", 8, "master"),
            ),
        ),
        IoctlCommand.SPIIOCEXCHANGE: IoctlLayout(
            "spi_ex_msg_t", 12, (_F(1, 4, "tx_buffer", 0), _F(2, 4, "rx_buffer", 4), _F(3, 4, "size", 8))
        ),
        IoctlCommand.LEDCIOCSCFG: IoctlLayout("ledc_cfg_t", 12, (_F(1, 4, "frequency", 0), _F(2, 1, "channel_num", 4))),
        IoctlCommand.LEDCIOCSSETFREQ: IoctlLayout(None, 4, ()),
        IoctlCommand.LEDCIOCSSETDUTY: IoctlLayout("ledc_duty_cfg_t", 8, (_F(1, 1, "channel", 0), _F(2, 4, "duty", 4))),
        IoctlCommand.LEDCIOCSSETPHASE: IoctlLayout(
            "ledc_phase_cfg_t", 8, (_F(1, 1, "channel", 0), _F(2, 4, "phase", 4))
        ),
        IoctlCommand.LEDCIOCSPAUSE: IoctlLayout(None, 0, ()),
        IoctlCommand.LEDCIOCSRESUME: IoctlLayout(None, 0, ()),
    }
)

# LEDCIOCSCFG adds these once a channel, read from ledc_cfg_t.channel_cfg (pointer at 8). The channel's number is meant
# to be in bits 16 and up of a 16-bit type, so it is lost: on stock firmware every channel gets channel 0's values.
LEDC_CHANNEL_CONFIG_OFFSET: Final = 8
LEDC_CHANNEL_LAYOUT: Final = IoctlLayout(
    "ledc_channel_cfg_t", 12, (_F(0x103, 1, "output_pin", 0), _F(0x203, 4, "duty", 4), _F(0x303, 4, "phase", 8))
)


@dataclass(frozen=True, slots=True)
class SeqFrame:
    """A data_seq frame as it lies in memory: the value has `size_bytes` bytes at `address`."""

    type: int
    size_bytes: int
    address: int


def read_data_seq(memory: bytes | bytearray | memoryview, address: int) -> tuple[SeqFrame, ...]:
    """The used frames of the data_seq at `address`; ProtocolError when it is none or points out of `memory`."""
    size = len(memory)
    if not 0 <= address <= size - DATA_SEQ_HEADER.size:
        raise ProtocolError(f"data_seq at {address:#x} is outside of the memory of {size} bytes")
    version, num, index = DATA_SEQ_HEADER.unpack_from(memory, address)
    if version != DATA_SEQ_VERSION:
        raise ProtocolError(f"data_seq at {address:#x} has version {version}, expected {DATA_SEQ_VERSION}")
    if index > num or num > MAX_DATA_SEQ_FRAMES:
        raise ProtocolError(f"data_seq claims {index} of {num} frames, at most {MAX_DATA_SEQ_FRAMES} are possible")
    start = address + DATA_SEQ_HEADER.size
    if start + index * DATA_SEQ_FRAME.size > size:
        raise ProtocolError(f"data_seq at {address:#x} with {index} frames reaches past the memory of {size} bytes")
    frames = tuple(SeqFrame(*DATA_SEQ_FRAME.unpack_from(memory, start + i * DATA_SEQ_FRAME.size)) for i in range(index))
    for frame in frames:
        if frame.address + frame.size_bytes > size:
            raise ProtocolError(f"data_seq frame {frame.type:#x} points to {frame.address:#x}, outside of the memory")
    return frames


def write_data_seq(frames: tuple[SeqFrame, ...]) -> bytes:
    """A data_seq with exactly these frames, as the glue in an app builds it."""
    head = DATA_SEQ_HEADER.pack(DATA_SEQ_VERSION, len(frames), len(frames))
    return head + b"".join(DATA_SEQ_FRAME.pack(f.type, f.size_bytes, f.address) for f in frames)
