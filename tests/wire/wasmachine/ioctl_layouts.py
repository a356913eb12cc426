"""The layouts of ioctl arguments in C and as sent: what the glue's headers are checked against.

Source: esp-wdf 54fc350, esp-wasmachine a07f7c2; struct layouts verified with clang -fdump-record-layouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from microclaw.wire.wasmachine.ioctl import IoctlCommand


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
    """A layout of a command's argument: the C struct (wasm32), its size and its frames in order of sending."""

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
LEDC_CHANNEL_LAYOUT: Final = IoctlLayout(
    "ledc_channel_cfg_t", 12, (_F(0x103, 1, "output_pin", 0), _F(0x203, 4, "duty", 4), _F(0x303, 4, "phase", 8))
)
