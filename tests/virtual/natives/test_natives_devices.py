"""GPIO, LEDC and I2C through open, read, write and the data_seq ioctl ABI, upstream's bugs included."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.virtual.natives.conftest import CBench

from microclaw.programs.wasm.compile import compile_module

GLUE = Path(__file__).with_name("nodes.h").read_text(encoding="utf-8")


def test_gpio_output_drives_the_pin_is_an_edge_and_stays_when_the_app_ends(bench: CBench) -> None:
    app = bench.run(
        GLUE
        + """void on_init(void) { int f = open("/dev/gpio/2", RW, 0); put(f, 1); printf("%d\\n", get(f)); put(f, 7);
        put(f, 0); put(f, 1); }"""
    )
    assert bench.lines() == ["1"]
    assert [level for _, level in bench.edges(2)] == [1, 0, 1]
    assert next(p for p in bench.board.pins() if p.pin == 2).app == "main"
    assert app.stop()
    assert bench.board.level(2) == 1


def test_gpio_belongs_to_one_app_until_it_closes_it_or_ends(bench: CBench) -> None:
    taker = 'void on_init(void) { printf("%d\\n", open("/dev/gpio/2", RW, 0) >= 0); }'
    first = bench.run(taker, name="first")
    bench.run(taker, name="second")
    assert first.stop()
    bench.run(taker, name="third")
    assert [bench.lines(name) for name in ("first", "second", "third")] == [["1"], ["0"], ["1"]]


def test_number_of_a_node_is_read_as_atoi_does(bench: CBench) -> None:
    app = bench.run('void on_init(void) { printf("%d\\n", open("/dev/gpio/4x", RW, 0) >= 0); }')
    assert (bench.lines(), app.status.error, app.env.pins) == (["1"], None, {4})


def test_gpio_inputs_follow_the_outside_and_their_pull(bench: CBench) -> None:
    source = """static int f; void on_init(void) { f = open("/dev/gpio/4", RD, 0); printf("%d", get(f));
        printf(" %d", gpio_flags(f, 2)); printf(" %d\\n", get(f)); wasm_create_timer(10, 1, 1); }
        void on_timer_callback(int id) { printf("%d\\n", get(f)); }"""
    bench.run(GLUE + source)
    bench.clock.call_at(15, lambda: bench.board.set_input(4, 0))
    bench.clock.call_at(25, lambda: bench.board.set_input(4, None))
    bench.clock.advance(30)
    assert bench.lines() == ["0 0 1", "1", "0", "1"]


def test_data_seq_works_once_and_a_second_use_crashes_the_board(bench: CBench) -> None:
    boot = bench.board.boot
    bench.run(
        GLUE
        + """void on_init(void) { int f = open("/dev/gpio/2", RW, 0); put(f, 1); gpio_flags(f, 0);
        ioctl(f, 0x8101, &q); }"""
    )
    bench.clock.settle()
    assert bench.board.boot == boot + 1
    assert bench.board.level(2) == 0
    assert bench.apps == []
    log = [record.text for record in bench.board.log().records]
    assert log[-2:] == ["Rebooting...", "App Manager started."]
    assert "LoadProhibited" in log[-3]


def test_ledc_duty_is_raw_after_a_configuration_in_percent(bench: CBench) -> None:
    bench.run(
        GLUE
        + """void on_init(void) { int f = open("/dev/ledc/0", RW, 0); printf("%d", ledc_duty(f, 0, 1));
        printf(" %d", ledc_config(f, 5000, 1, 5, 50)); printf(" %d", ledc_duty(f, 0, 4096));
        printf(" %d\\n", ledc_config(f, 5000, 1, 5, 50)); }"""
    )
    assert bench.lines() == ["-1 0 0 -1"]
    # The configuration starts at 0; 50 percent become 6 of 8192, which rounds to 0 of 255 and is a pulse of its own.
    assert [(c.pin, c.duty, c.frequency_hz) for c in bench.board.pwm_changes().records] == [
        (5, 0, 5000),
        (5, 0, 5000),
        (5, 128, 5000),
    ]
    assert bench.board.pins()[5].role == "pwm"
    assert bench.edges(5) == []


@pytest.mark.parametrize(
    ("celsius", "percent", "hpa"), [(-12.34, 61.5, 987.65), (-40.0, 0.0, 300.0), (85.0, 100.0, 1100.0)]
)
async def test_bme280_measures_what_was_set(bench: CBench, celsius: float, percent: float, hpa: float) -> None:
    """By microclaw.h, whose formulas are the datasheet's (tests/programs/wasm/test_glue.py)."""
    bench.board.parts.set_values("bme280", {"temperature_c": celsius, "humidity_pct": percent, "pressure_hpa": hpa})
    source = """#include "microclaw.h"
    void on_init(void) { bme280_t air; printf("%d ", bme280_read(i2c_open(8, 9), 0x76, &air));
    printf("%.3f %.3f %.3f\\n", air.temperature_c, air.humidity_pct, air.pressure_hpa); }"""
    bench.start((await compile_module(source, bench.board.profile)).wasm)
    bench.advance(100)
    assert [float(word) for word in bench.lines()[0].split()] == [
        0,
        pytest.approx(celsius, abs=0.02),
        pytest.approx(percent, abs=0.1),
        pytest.approx(hpa, abs=0.05),
    ]


# what it shows, the program, its line
PROGRAMS = [
    (
        "gpio_directions_are_enforced",
        """void on_init(void) { int in = open("/dev/gpio/4", RD, 0), out = open("/dev/gpio/5", WR, 0);
        printf("%d %d %d\\n", put(in, 1), get(out), put(out, 1)); }""",
        "-1 -1 1",
    ),
    (
        "gpio_that_the_board_lacks_or_that_is_taken_does_not_open",
        """void on_init(void) { printf("%d %d %d %d", open("/dev/gpio/22", RW, 0), open("/dev/gpio/999", RW, 0),
        open("/dev/gpio/2", RW, 0) >= 0, open("/dev/gpio/2", RW, 0));
        printf(" %d\\n", open("/dev/gpio/3", RW | 1 << 12, 0)); }""",
        "-1 -1 1 -1 -1",
    ),
    (
        "data_seq_without_the_wanted_frame_is_refused",
        """void on_init(void) { int f = open("/dev/gpio/2", RW, 0); u32 x = 2; seq(); add(1, 2, &x);
        printf("%d", ioctl(f, 0x8101, &q)); q.version = 2; printf(" %d", ioctl(f, 0x8101, &q));
        printf(" %d %d\\n", ioctl(f, 0x1234, &q), ioctl(77, 0x8101, &q)); }""",
        "-1 -1 -1 -1",
    ),
    (  # shunt 12 mV in 10 uV; calibration 4096 gives 0.1 mA a bit and 2 mW a power bit: 600 mW
        "ina219_registers_are_big_endian_words",
        """static int f; static int reg(int n) { u8 d[2]; i2c_read(f, 0x40, n, d, 2); return d[0] << 8 | d[1]; }
        void on_init(void) { f = open("/dev/i2c/0", RW, 0); i2c_config(f, 8, 9); u8 cal[3] = {5, 0x10, 0x00};
        printf("%x %d %d %d", reg(0), reg(1), (reg(2) >> 3) * 4, reg(4)); printf(" %d", i2c_move(f, 3, 0x40, cal, 3));
        printf(" %d %d\\n", reg(4), reg(3)); }""",
        "399f 1200 5000 0 0 1200 300",
    ),
    (
        "i2c_needs_configuration_wiring_and_a_listener",
        """void on_init(void) { u8 d; int f = open("/dev/i2c/0", RW, 0); printf("%d", i2c_read(f, 0x76, 0xD0, &d, 1));
        printf(" %d", i2c_config(f, 8, 9)); printf(" %d", i2c_read(f, 0x77, 0xD0, &d, 1));
        printf(" %d", i2c_read(f, 0x76, 0xD0, &d, 1));
        printf(" %d", i2c_move(f, 1, 0x55, &d, 1)); printf(" %d", i2c_move(f, 0, 0x76, (void *)0x7fffffff, 1));
        i2c_config(f, 11, 12); printf(" %d", i2c_read(f, 0x76, 0xD0, &d, 1));
        printf(" %d\\n", open("/dev/i2c/1", RW, 0)); }""",
        "-1 0 -1 0 0 -1 -1 -1",
    ),
]


@pytest.mark.parametrize(("source", "line"), [row[1:] for row in PROGRAMS], ids=[row[0] for row in PROGRAMS])
def test_program_prints(bench: CBench, source: str, line: str) -> None:
    bench.board.parts.set_values("ina219", {"voltage_v": 5.0, "current_ma": 120.0})
    bench.run(GLUE + source)
    bench.advance(100)
    assert bench.lines() == [line]
