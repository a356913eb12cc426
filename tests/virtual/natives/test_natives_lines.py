"""UART and SPI nodes as ESP-IDF and esp-iot-solution serve them; nothing is wired to them."""

from __future__ import annotations

import pytest
from tests.virtual.natives.conftest import CBench, MakeBench

GLUE = """
static int config(int fd, u32 flags, u32 clock, u8 cs) { u8 sclk = 12, mosi = 11, miso = 13; seq(); add(1, 1, &cs);
    add(2, 1, &sclk); add(3, 1, &mosi); add(4, 1, &miso); add(5, 4, &flags); if (flags & 1) add(6, 4, &clock);
    return ioctl(fd, 0x8301, &q); }
static int exchange(int fd, const void *tx, void *rx, u32 *size) { seq(); add(1, 4, &tx); add(2, 4, &rx);
    add(3, 4, size); return ioctl(fd, 0x8302, &q); }
static void hex(const u8 *data, int n) { for (int i = 0; i < n; i++) printf("%02x", data[i]); printf("\\n"); }
"""


@pytest.fixture
def uart(make_bench: MakeBench) -> CBench:
    return make_bench(nodes=frozenset({"uart"}))


@pytest.fixture
def spi(make_bench: MakeBench) -> CBench:
    return make_bench(nodes=frozenset({"spi"}))


def test_stock_firmware_has_neither_uart_nor_spi(bench: CBench) -> None:
    bench.run('void on_init(void) { printf("%d %d\\n", open("/dev/uart/0", RW, 0), open("/dev/spi/2", RW, 0)); }')
    assert bench.lines() == ["-1 -1"]


def test_uart_read_never_waits(uart: CBench) -> None:
    uart.run("""static char b[9]; void on_init(void) { int f = open("/dev/uart/0", RW, 0);
        printf("%d %d %d\\n", write(f, "hi\\n", 3), read(f, b, 8), open("/dev/uart/3", RW, 0)); }""")
    assert uart.lines() == ["3 -1 -1"]


def test_spi_exchange_reads_zeros_and_its_pins_are_the_programs(spi: CBench) -> None:
    app = spi.run(
        GLUE
        + """void on_init(void) { int f = open("/dev/spi/2", RW, 0); u8 tx[4] = {0x9f}, rx[4] = {1}; u32 n = 4;
        printf("%d ", config(f, 1, 1000000, 10)); printf("%d %d ", exchange(f, tx, rx, &n), (int)n); hex(rx, 4);
        printf("%d\\n", close(f)); }"""
    )
    assert spi.lines() == ["0 0 4 00000000", "0"]
    assert app.pins == {10, 11, 12, 13}


def test_spi_refuses_what_the_driver_refuses(spi: CBench) -> None:
    spi.run(
        GLUE
        + """static u8 big[600]; void on_init(void) { int f = open("/dev/spi/2", RW, 0); u32 n = 3;
        printf("%d %d ", open("/dev/spi/3", RW, 0), exchange(f, big, big, &n));
        printf("%d %d %d ", config(f, 0, 0, 10), config(f, 1, 1000000, 99), config(f, 1, 1000000, 10));
        printf("%d ", config(f, 1, 1000000, 10)); n = 513; printf("%d ", exchange(f, big, big, &n));
        n = 512; printf("%d ", exchange(f, big, big, &n)); n = 64;
        printf("%d %d ", exchange(f, (void *)0xffffff00, big, &n), write(f, big, 1));
        printf("%d %d\\n", close(f), close(open("/dev/spi/2", RW, 0))); }"""
    )
    assert spi.lines() == ["-1 -1 -1 -1 0 -1 -1 0 -1 -1 0 -1"]


def test_spi_bus_of_an_app_that_ended_can_be_configured_again(spi: CBench) -> None:
    source = GLUE + """void on_init(void) { printf("%d\\n", config(open("/dev/spi/2", RW, 0), 1, 1000, 10)); }"""
    first = spi.run(source, name="first")
    spi.run(source, name="second")
    assert first.stop()
    spi.run(source, name="third")
    assert [spi.lines(name) for name in ("first", "second", "third")] == [["0"], ["-1"], ["0"]]
