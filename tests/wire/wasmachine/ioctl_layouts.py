"""The layouts of ioctl arguments in C and as sent: what the glue's headers are checked against.

Source: esp-wdf 54fc350, esp-wasmachine a07f7c2; struct layouts verified with clang -fdump-record-layouts.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from microclaw.wire.wasmachine.ioctl import IoctlCommand as Ioctl


class FrameField(NamedTuple):
    """A frame of a data_seq: its (type, size) pair and the struct member it carries, at `offset` in the struct.

    `condition` names the mode in which the member is sent ("master", "slave"); None is always.
    """

    type: int
    size_bytes: int
    name: str
    offset: int
    condition: str | None = None


class IoctlLayout(NamedTuple):
    """A command's argument: the C struct (wasm32), its size and its frames in order of sending."""

    struct: str | None
    size_bytes: int
    frames: tuple[FrameField, ...] = ()


def _layout(
    struct: str, size_bytes: int, *frames: tuple[int, int, str, int] | tuple[int, int, str, int, str]
) -> IoctlLayout:
    return IoctlLayout(struct, size_bytes, tuple(FrameField(*frame) for frame in frames))


IOCTL_LAYOUTS: Final[dict[Ioctl, IoctlLayout]] = {
    Ioctl.GPIOCSCFG: _layout("gpioc_cfg_t", 4, (1, 4, "flags", 0)),
    Ioctl.I2CIOCSCFG: _layout(
        "i2c_cfg_t", 16, (1, 2, "sda_pin", 0), (2, 2, "scl_pin", 2), (3, 4, "flags", 4),
        (4, 4, "clock", 8, "master"), (5, 4, "max_clock", 8, "slave"), (6, 2, "addr", 12, "slave"),
    ),
    Ioctl.I2CIOCRDWR: _layout(
        "i2c_msg_t", 16, (1, 2, "flags", 0), (2, 2, "addr", 4), (4, 4, "size", 12), (3, 4, "buffer", 8)
    ),
    Ioctl.I2CIOCEXCHANGE: _layout(
        "i2c_ex_msg_t", 28, (1, 2, "flags", 0), (2, 2, "addr", 4), (3, 4, "delay_ms", 8), (4, 4, "tx_buffer", 12),
        (5, 4, "tx_size", 16), (6, 4, "rx_buffer", 20), (7, 4, "rx_size", 24),
    ),
    Ioctl.SPIIOCSCFG: _layout(
        "spi_cfg_t", 12, (1, 1, "cs_pin", 0), (2, 1, "sclk_pin", 1), (3, 1, "mosi_pin", 2), (4, 1, "miso_pin", 3),
        (5, 4, "flags", 4), (6, 4, "clock", 8, "master"),
    ),
    Ioctl.SPIIOCEXCHANGE: _layout(
        "spi_ex_msg_t", 12, (1, 4, "tx_buffer", 0), (2, 4, "rx_buffer", 4), (3, 4, "size", 8)
    ),
    Ioctl.LEDCIOCSCFG: _layout("ledc_cfg_t", 12, (1, 4, "frequency", 0), (2, 1, "channel_num", 4)),
    Ioctl.LEDCIOCSSETFREQ: IoctlLayout(None, 4),
    Ioctl.LEDCIOCSSETDUTY: _layout("ledc_duty_cfg_t", 8, (1, 1, "channel", 0), (2, 4, "duty", 4)),
    Ioctl.LEDCIOCSSETPHASE: _layout("ledc_phase_cfg_t", 8, (1, 1, "channel", 0), (2, 4, "phase", 4)),
    Ioctl.LEDCIOCSPAUSE: IoctlLayout(None, 0),
    Ioctl.LEDCIOCSRESUME: IoctlLayout(None, 0),
}  # fmt: skip
