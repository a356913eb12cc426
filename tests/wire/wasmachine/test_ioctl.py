from __future__ import annotations

import pytest
from tests.wire.wasmachine.ioctl_layouts import IOCTL_LAYOUTS, LEDC_CHANNEL_LAYOUT, IoctlLayout

from microclaw.wire.wasmachine.ioctl import IoctlCommand, OpenFlag


@pytest.mark.parametrize("layout", [*IOCTL_LAYOUTS.values(), LEDC_CHANNEL_LAYOUT])
def test_members_lie_inside_their_struct(layout: IoctlLayout) -> None:
    assert all(f.offset + f.size_bytes <= layout.size_bytes and f.offset % f.size_bytes == 0 for f in layout.frames)
    assert len({(f.type, f.condition) for f in layout.frames}) == len(layout.frames)


def test_every_command_has_a_layout() -> None:
    assert set(IOCTL_LAYOUTS) == set(IoctlCommand)


def test_open_flags_are_those_of_wasi() -> None:
    assert (OpenFlag.O_RDONLY, OpenFlag.O_WRONLY, OpenFlag.O_RDWR) == (0x04000000, 0x10000000, 0x14000000)
    assert OpenFlag.O_CREAT | OpenFlag.O_TRUNC | OpenFlag.O_APPEND == 0x9001
