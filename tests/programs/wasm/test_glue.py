"""The firmware calls of the glue behind microclaw.h, on real compiler output."""

from __future__ import annotations

import re
import struct
from typing import Any

import pytest
from tests.programs.wasm.instance import Clockwork, Instance

from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.wire.wasmachine.ioctl import DATA_SEQ_FRAME, DATA_SEQ_HEADER
from microclaw.wire.wasmachine.ioctl import IoctlCommand as Ioctl

HEAD = '#include "microclaw.h"\n'


class Firmware(Instance):
    """The natives that glue calls: each ioctl as the firmware reads it, I2C registers (a byte, or a word over 255)."""

    def __init__(self, wasm: bytes, registers: dict[int, dict[int, int]]) -> None:
        self.registers = registers
        self.paths: list[str] = []
        self.ioctls: list[tuple[str, int, list[tuple[int, bytes]]]] = []  # node, command, frames of the data_seq
        self.log = ""
        self.start(wasm)
        self.call("on_init")

    def word_at(self, address: int) -> int:
        return int.from_bytes(self.bytes_at(address, 4), "little")

    def native_open(self, path: int, _flags: int, _va: int) -> int:
        self.paths.append(self.text_at(path))
        return 2 + len(self.paths)

    def native_ioctl(self, fd: int, command: int, va: int) -> int:
        sequence = self.word_at(va)
        if command == 0x8402:
            frames = [(0, struct.pack("<I", sequence))]
        else:
            frames = []
        if command not in (0x8402, 0x8405, 0x8406):
            version, num, used = DATA_SEQ_HEADER.unpack(self.bytes_at(sequence, DATA_SEQ_HEADER.size))
            assert (version, num) == (1, used)
            table = self.bytes_at(sequence + DATA_SEQ_HEADER.size, used * DATA_SEQ_FRAME.size)
            frames = [(kind, self.bytes_at(at, size)) for kind, size, at in DATA_SEQ_FRAME.iter_unpack(table)]
        self.ioctls.append((self.paths[fd - 3], command, frames))
        if self.paths[fd - 3] == "/dev/i2c/0" and command != 0x8201:
            return self.i2c(dict(frames), command)
        return 0

    def i2c(self, frames: dict[int, bytes], command: int) -> int:
        address, *words = (int.from_bytes(frames[key], "little") for key in sorted(frames) if key != 1)
        registers = self.registers.get(address)
        if registers is None:
            return -1
        if command == 0x8203:
            _delay, tx, _tx_size, rx, rx_size = words
            first = self.bytes_at(tx, 1)[0]
            word = registers.get(first, 0)
            several = [registers.get(first + i, 0) for i in range(rx_size)]
            self.write(rx, bytes(several) if word < 256 else word.to_bytes(2, "big"))
        else:
            first, *values = self.bytes_at(*words)
            registers.update({first + i: value for i, value in enumerate(values)})
        return 0

    def native_printf(self, text: int, va: int) -> int:
        def argument(match: re.Match[str]) -> str:
            nonlocal va
            form, size = ("<d", 8) if match[0][-1] == "f" else ("<i", 4)
            va = (va + size - 1 & -size) + size
            return str(match[0] % struct.unpack(form, self.bytes_at(va - size, size)))

        self.log += re.sub(r"%[0-9.]*[df]", argument, self.text_at(text))
        return 0

    native_vprintf = native_printf


async def start(compile_c: Any, body: str, registers: dict[int, dict[int, int]] | None = None) -> Firmware:
    return Firmware((await compile_c(HEAD + body)).wasm, registers or {})


async def test_a_late_callback_does_not_fire_twice_and_is_not_taken_for_a_new_timers(compile_c: Any) -> None:
    """The firmware loses a destroy while a callback is on the way, and gives numbers of timers again."""
    source = 'static void task(void) { puts("x"); }\nvoid on_init(void) {'
    source += " after(50, task); cancel(every(60, task)); every(100, task); }"
    board = Clockwork((await compile_c(HEAD + source)).wasm)
    board.call("on_init")
    for now_ms, timer, lines in ((50, 1, 1), (60, 1, 1), (90, 2, 1), (100, 2, 2)):
        board.now_ms = now_ms
        board.call("on_timer_callback", timer)
        assert board.lines == lines, now_ms


def bme280_registers() -> dict[int, int]:
    """The worked example of the datasheet: 25.08 degrees, 100653 Pa; humidity by its formula in Python below."""
    calibration = struct.pack(
        "<HhhHhhhhhhhhxB", *(27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000), 75
    )
    humidity = struct.pack("<hBBBBb", 362, 0, 333 >> 4, (333 & 15) | (50 & 15) << 4, 50 >> 4, 30)
    pressure = 415148
    temperature = 519888
    raw = [pressure >> 12, pressure >> 4 & 255, pressure << 4 & 255]
    raw += [temperature >> 12, temperature >> 4 & 255, temperature << 4 & 255, 30000 >> 8, 30000 & 255]
    blocks = {0x88: calibration, 0xE1: humidity, 0xF7: bytes(raw), 0xD0: b"\x60"}
    return {start + i: byte for start, block in blocks.items() for i, byte in enumerate(block)}


def bme280_humidity(t_fine: float, raw: int) -> float:
    """8.1 of the datasheet, in double precision."""
    h = t_fine - 76800.0
    h = (raw - (333 * 64.0 + 50 / 16384.0 * h)) * (
        362 / 65536.0 * (1.0 + 30 / 67108864.0 * h * (1.0 + 0 / 67108864.0 * h))
    )
    return h * (1.0 - 75 * h / 524288.0)


async def test_bme280_gives_the_datasheets_example(compile_c: Any) -> None:
    source = """
        void on_init(void) {
            bme280_t air;
            int bus = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
            printf("%d ", bme280_read(bus, 0x76, &air));
            printf("%.2f %.2f %.2f\\n", air.temperature_c, air.pressure_hpa, air.humidity_pct);
            printf("%d\\n", bme280_read(bus, 0x77, &air));
        }
    """
    board = await start(compile_c, source, {0x76: bme280_registers()})
    first, temperature, pressure, humidity, other = map(float, board.log.split())
    assert (first, other) == (0, -1)
    assert temperature == pytest.approx(25.08, abs=0.01)
    assert pressure == pytest.approx(1006.53, abs=0.05)
    assert humidity == pytest.approx(bme280_humidity(128422, 30000), abs=0.05)
    assert board.registers[0x76][0xF4] & 3 == 1  # a forced measurement was started


# The C struct of a command's argument (wasm32), its size, and the frames that a master sends of it: type, size, offset.
# Source: esp-wdf 54fc350, esp-wasmachine a07f7c2; struct layouts verified with clang -fdump-record-layouts.
LAYOUTS: dict[Ioctl, tuple[str, int, list[tuple[int, int, int]]]] = {
    Ioctl.GPIOCSCFG: ("gpioc_cfg_t", 4, [(1, 4, 0)]),
    Ioctl.I2CIOCSCFG: ("i2c_cfg_t", 16, [(1, 2, 0), (2, 2, 2), (3, 4, 4), (4, 4, 8)]),
    Ioctl.I2CIOCRDWR: ("i2c_msg_t", 16, [(1, 2, 0), (2, 2, 4), (4, 4, 12), (3, 4, 8)]),
    Ioctl.I2CIOCEXCHANGE: (
        "i2c_ex_msg_t", 28, [(1, 2, 0), (2, 2, 4), (3, 4, 8), (4, 4, 12), (5, 4, 16), (6, 4, 20), (7, 4, 24)],
    ),
    Ioctl.SPIIOCSCFG: ("spi_cfg_t", 12, [(1, 1, 0), (2, 1, 1), (3, 1, 2), (4, 1, 3), (5, 4, 4), (6, 4, 8)]),
    Ioctl.SPIIOCEXCHANGE: ("spi_ex_msg_t", 12, [(1, 4, 0), (2, 4, 4), (3, 4, 8)]),
    Ioctl.LEDCIOCSCFG: ("ledc_cfg_t", 12, [(1, 4, 0), (2, 1, 4)]),
    Ioctl.LEDCIOCSSETDUTY: ("ledc_duty_cfg_t", 8, [(1, 1, 0), (2, 4, 4)]),
    Ioctl.LEDCIOCSSETPHASE: ("ledc_phase_cfg_t", 8, [(1, 1, 0), (2, 4, 4)]),
}  # fmt: skip


async def test_ioctl_sends_each_member_of_its_struct(compile_c: Any) -> None:
    calls = "".join(
        f"{{ static {struct} value; fill(&value, sizeof value);"
        f" {'value.channel_num = 0;' if command == Ioctl.LEDCIOCSCFG else ''}"
        f' printf("%d %d\\n", ioctl(node, {command.name}, &value), (int)sizeof value); }}\n'
        for command, (struct, _, _) in LAYOUTS.items()
    )
    source = (
        "#include <fcntl.h>\n#include <gpio.h>\n#include <i2c.h>\n#include <ledc.h>\n#include <spi.h>\n"
        "static void fill(void *at, unsigned size) {\n unsigned char *p = at;\n"
        " for (unsigned i = 0; i < size; i++) p[i] = i == 0 || i == 4 ? 1 : i;\n}\n"
        f'void on_init(void) {{ int node = open("/dev/gpio/1", O_RDWR);\n{calls}}}\n'
    )
    board = await start(compile_c, source)
    assert board.log == "".join(f"0 {size}\n" for _, size, _ in LAYOUTS.values())
    expected = []
    for command, (_, struct_size, frames) in LAYOUTS.items():
        content = bytes(1 if i in (0, 4) else i for i in range(struct_size))
        if command == Ioctl.LEDCIOCSCFG:
            content = content[:4] + b"\0" + content[5:]
        expected.append((command, [(kind, content[at : at + size]) for kind, size, at in frames]))
    assert [(code, frames) for _, code, frames in board.ioctls] == expected


async def test_each_pwm_keeps_its_own_frequency_and_duty(compile_c: Any, board: BoardProfile) -> None:
    source = """
        int main(void) {
            int a = pwm_open(5, 1000), b = pwm_open(6, 50), c = pwm_open(7, 440);
            pwm_set(a, 100); pwm_set(b, 20); pwm_set(c, 200);
            delay(1000);
            pwm_close(a);
            pwm_set(pwm_open(9, 2000), 77);
            delay(1000);
            return 0;
        }
    """
    trial = await try_image(await compile_c(HEAD + source), board, TrialOptions(for_ms=3000))
    assert trial.ok, trial.error
    last = {change.pin: (change.duty, change.frequency_hz) for change in trial.pwm}
    assert (last[6], last[7], last[9]) == ((20, 50), (200, 440), (77, 2000))
    before = {change.pin: (change.duty, change.frequency_hz) for change in trial.pwm if change.t_ms < 900}
    assert before == {5: (100, 1000), 6: (20, 50), 7: (200, 440)}
