"""GPIO, LEDC and I2C through open, read, write and the data_seq ioctl ABI, upstream's bugs included."""

from __future__ import annotations

import pytest
from tests.virtual.natives.conftest import CBench

GLUE = """
static int gpio_flags(int fd, u32 flags) { seq(); add(1, 4, &flags); return ioctl(fd, 0x8101, &q); }
static int ledc_config(int fd, u32 hz, u8 n, u8 pin, u32 duty) { u32 phase = 0; seq(); add(1, 4, &hz); add(2, 1, &n);
    add(0x103, 1, &pin); add(0x203, 4, &duty); add(0x303, 4, &phase); return ioctl(fd, 0x8401, &q); }
static int ledc_duty(int fd, u8 channel, u32 duty) { seq(); add(1, 1, &channel); add(2, 4, &duty);
        return ioctl(fd, 0x8403, &q); }
static int i2c_config(int fd, u16 sda, u16 scl) { u32 flags = 1, clock = 100000; seq(); add(1, 2, &sda);
        add(2, 2, &scl);
    add(3, 4, &flags); add(4, 4, &clock); return ioctl(fd, 0x8201, &q); }
static int i2c_move(int fd, u16 flags, u16 addr, void *buffer, u32 size) { seq(); add(1, 2, &flags); add(2, 2, &addr);
    add(4, 4, &size); add(3, 4, &buffer); return ioctl(fd, 0x8202, &q); }
static int i2c_read(int fd, u16 addr, u8 reg, void *rx, u32 n) { u16 flags = 2; u32 delay = 0, one = 1;
        void *tx = &reg; seq();
    add(1, 2, &flags); add(2, 2, &addr); add(3, 4, &delay); add(4, 4, &tx); add(5, 4, &one); add(6, 4, &rx);
        add(7, 4, &n);
    return ioctl(fd, 0x8203, &q); }
static int put(int fd, u8 level) { return write(fd, &level, 1); }
static int get(int fd) { u8 level = 9; int n = read(fd, &level, 1); return n == 1 ? level : n; }
"""


def test_gpio_output_drives_the_pin_and_is_an_edge(bench: CBench) -> None:
    app = bench.run(
        GLUE
        + """void on_init(void) { int f = open("/dev/gpio/2", RW, 0); put(f, 1); printf("%d\\n", get(f)); put(f, 7);
        put(f, 0); }"""
    )
    assert bench.lines() == ["1"]
    assert [level for _, level in bench.edges(2)] == [1, 0]
    assert app.pins == {2}
    assert next(p for p in bench.board.pins() if p.pin == 2).app == "main"


def test_gpio_belongs_to_one_app_until_it_closes_it_or_ends(bench: CBench) -> None:
    taker = 'void on_init(void) { printf("%d\\n", open("/dev/gpio/2", RW, 0) >= 0); }'
    first = bench.run(taker, name="first")
    bench.run(taker, name="second")
    assert first.stop()
    bench.run(taker, name="third")
    assert [bench.lines(name) for name in ("first", "second", "third")] == [["1"], ["0"], ["1"]]


def test_gpio_inputs_follow_the_outside_and_their_pull(bench: CBench) -> None:
    source = """static int f; void on_init(void) { f = open("/dev/gpio/4", RD, 0); printf("%d", get(f));
        printf(" %d", gpio_flags(f, 2)); printf(" %d\\n", get(f)); wasm_create_timer(10, 1, 1); }
        void on_timer_callback(int id) { printf("%d\\n", get(f)); }"""
    bench.run(GLUE + source)
    bench.clock.call_at(15, lambda: bench.board.set_input(4, 0))
    bench.clock.call_at(25, lambda: bench.board.set_input(4, None))
    bench.clock.advance(30)
    assert bench.lines() == ["0 0 1", "1", "0", "1"]


def test_pins_keep_their_level_when_the_app_ends_without_closing(bench: CBench) -> None:
    app = bench.run(GLUE + 'void on_init(void) { put(open("/dev/gpio/2", RW, 0), 1); }')
    assert app.stop()
    assert bench.board.level(2) == 1


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


def test_pin_taken_back_for_gpio_no_longer_follows_the_ledc(bench: CBench) -> None:
    bench.run(
        GLUE
        + """void on_init(void) { int f = open("/dev/ledc/0", RW, 0); ledc_config(f, 1000, 1, 5, 0);
        ledc_duty(f, 0, 8192);
        int g = open("/dev/gpio/5", RW, 0); ledc_duty(f, 0, 100); put(g, 1); }"""
    )
    pin = bench.board.pins()[5]
    assert (pin.role, pin.level, pin.duty) == ("output", 1, 0)


COMPENSATE = """
static u8 c[26], h[7]; static i64 fine;
static int s16(u8 *p) { return (short)(p[0] | p[1] << 8); } static int u16le(u8 *p) { return p[0] | p[1] << 8; }
static int temperature(int raw) { int t1 = u16le(c), t2 = s16(c + 2), t3 = s16(c + 4);
    int v1 = (((raw >> 3) - (t1 << 1)) * t2) >> 11;
        int v2 = (((((raw >> 4) - t1) * ((raw >> 4) - t1)) >> 12) * t3) >> 14;
    fine = v1 + v2; return (int)((fine * 5 + 128) >> 8); }
static u32 pressure(int raw) { i64 p, v1 = fine - 128000, v2 = v1 * v1 * s16(c + 16); v2 += (v1 * s16(c + 14)) << 17;
    v2 += (i64)s16(c + 12) << 35; v1 = ((v1 * v1 * s16(c + 10)) >> 8) + ((v1 * s16(c + 8)) << 12);
    v1 = ((((i64)1 << 47) + v1) * u16le(c + 6)) >> 33; if (!v1) return 0; p = 1048576 - raw;
        p = (((p << 31) - v2) * 3125) / v1;
    v1 = ((i64)s16(c + 22) * (p >> 13) * (p >> 13)) >> 25; v2 = ((i64)s16(c + 20) * p) >> 19;
    return (u32)(((p + v1 + v2) >> 8) + ((i64)s16(c + 18) << 4)); }
static u32 humidity(int raw) { int h4 = (signed char)h[3] * 16 | (h[4] & 15), h5 = (signed char)h[5] * 16 | h[4] >> 4;
    int v = (int)fine - 76800; v = ((((raw << 14) - (h4 << 20) - h5 * v) + 16384) >> 15) *
    (((((((v * (signed char)h[6]) >> 10) * (((v * h[2]) >> 11) + 32768)) >> 10) + 2097152) * s16(h) + 8192) >> 14);
        v -= ((((v >> 15) * (v >> 15)) >> 7) * c[25]) >> 4;
    v = v < 0 ? 0 : v > 419430400 ? 419430400 : v; return (u32)(v >> 12); }
"""


def test_bme280_measures_what_was_set_by_the_datasheet_s_formulas(bench: CBench) -> None:
    bench.board.set_sensor("bme280", {"temperature_c": -12.34, "humidity_pct": 61.5, "pressure_hpa": 987.65})
    bench.run(
        GLUE
        + COMPENSATE
        + """void on_init(void) { u8 r[8], id, hum[2] = {0xF2, 1}, go[2] = {0xF4, 0x25};
        int f = open("/dev/i2c/0", RW, 0);
        i2c_config(f, 8, 9); i2c_read(f, 0x76, 0xD0, &id, 1); i2c_read(f, 0x76, 0x88, c, 26);
        i2c_read(f, 0x76, 0xE1, h, 7);
        i2c_move(f, 3, 0x76, hum, 2); i2c_move(f, 3, 0x76, go, 2); i2c_read(f, 0x76, 0xF7, r, 8);
        int t = temperature(r[3] << 12 | r[4] << 4 | r[5] >> 4); u32 p = pressure(r[0] << 12 | r[1] << 4 | r[2] >> 4);
        printf("%x %d %u %u\\n", id, t, p, humidity(r[6] << 8 | r[7])); }"""
    )
    chip, temperature, pressure, humidity = bench.lines()[0].split()
    assert chip == "60"
    assert abs(int(temperature) - -1234) <= 1
    assert abs(int(pressure) / 25600 - 987.65) < 0.05
    assert abs(int(humidity) / 1024 - 61.5) < 0.1


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
    bench.board.set_sensor("ina219", {"voltage_v": 5.0, "current_ma": 120.0})
    bench.run(GLUE + source)
    assert bench.lines() == [line]
