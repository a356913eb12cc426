"""UART and SPI nodes as ESP-IDF and esp-iot-solution serve them, and what is wired to them on the bench."""

from __future__ import annotations

import pytest
from tests.virtual.natives.conftest import Bench, MakeBench

from microclaw.virtual.wiring import RX_FIFO_BYTES, SENT_RING_BYTES, Uarts

GLUE = """
static struct { u32 version, num, index; struct { u16 type, size; const void *value; } f[8]; } q;
static void seq(void) { q.version = 1; q.num = 8; q.index = 0; }
static void add(int type, int size, const void *value) { q.f[q.index].type = type; q.f[q.index].size = size;
        q.f[q.index++].value = value; }
static int config(int fd, u32 flags, u32 clock, u8 cs) { u8 sclk = 12, mosi = 11, miso = 13; seq(); add(1, 1, &cs);
    add(2, 1, &sclk); add(3, 1, &mosi); add(4, 1, &miso); add(5, 4, &flags); if (flags & 1) add(6, 4, &clock);
    return ioctl(fd, 0x8301, &q); }
static int exchange(int fd, const void *tx, void *rx, u32 *size) { seq(); add(1, 4, &tx); add(2, 4, &rx);
    add(3, 4, size); return ioctl(fd, 0x8302, &q); }
static void hex(const u8 *data, int n) { for (int i = 0; i < n; i++) printf("%02x", data[i]); printf("\\n"); }
"""
READER = """static int f; static char b[40];
void on_init(void) { f = open("/dev/uart/0", RW, 0); wasm_create_timer(10, 1, 1); }
void on_timer_callback(int id) { int n = read(f, b, 39); if (n > 0) { b[n] = 0; printf("%d<%s>\\n", n, b); }
        else printf("%d\\n", n); }"""


@pytest.fixture
def uart(make_bench: MakeBench) -> Bench:
    return make_bench(frozenset({"uart"}))


@pytest.fixture
def spi(make_bench: MakeBench) -> Bench:
    return make_bench(frozenset({"spi"}))


def test_stock_firmware_has_neither_uart_nor_spi(bench: Bench) -> None:
    bench.run('void on_init(void) { printf("%d %d\\n", open("/dev/uart/0", RW, 0), open("/dev/spi/2", RW, 0)); }')
    assert bench.lines() == ["-1 -1"]


def test_uart_write_ends_lines_with_cr_and_lf(uart: Bench) -> None:
    uart.run('void on_init(void) { printf("%d\\n", write(open("/dev/uart/0", RW, 0), "hi\\n\\0x", 5)); }')
    assert uart.lines() == ["5"]
    assert uart.board.uarts.sent(0, 0, 100).data == b"hi\r\n\0x"


def test_uart_read_never_waits_and_ends_behind_a_line_end(uart: Bench) -> None:

    def arrive() -> None:
        uart.board.uarts.arrive(0, b"one\rtwo\nrest")

    uart.clock.call_at(15, arrive)
    uart.run(READER)
    uart.clock.advance(55)
    assert uart.lines() == ["-1", "4<one", ">", "4<two", ">", "4<rest>", "-1"]


def test_uart_fifo_holds_128_bytes_and_loses_the_rest(uart: Bench) -> None:
    assert uart.board.uarts.arrive(0, bytes(100)) == 100
    assert uart.board.uarts.arrive(0, bytes(100)) == RX_FIFO_BYTES - 100
    uart.board.reset()
    assert uart.board.uarts.arrive(0, b"x") == 1


def test_uart_names_are_exact_and_there_is_no_ioctl(uart: Bench) -> None:
    uart.run(
        """void on_init(void) { printf("%d %d %d", open("/dev/uart/3", RW, 0), open("/dev/uart/00", RW, 0),
        open("/dev/uart/x", RW, 0)); int f = open("/dev/uart/2", RW, 0); printf(" %d %d %d\\n", f >= 0,
        ioctl(f, 0x8101, 0), close(f)); }"""
    )
    assert uart.lines() == ["-1 -1 -1 1 -1 0"]


def test_sent_bytes_are_numbered_and_the_oldest_go() -> None:
    uarts = Uarts("ESP32-C3")
    assert uarts.count == 2
    uarts.send(1, bytes(SENT_RING_BYTES) + b"end")
    page = uarts.sent(1, SENT_RING_BYTES - 1, 10)
    assert (page.data, page.next, page.dropped) == (b"\0end", SENT_RING_BYTES + 3, 0)
    assert uarts.sent(1, 0, 4).dropped == 3


def test_spi_device_answers_one_exchange_at_a_time(spi: Bench) -> None:
    spi.board.spi.connect(2, loopback=False, answers=[b"\x00\xef\x40\x18"])
    app = spi.run(
        GLUE
        + """void on_init(void) { int f = open("/dev/spi/2", RW, 0); u8 tx[4] = {0x9f}, rx[4]; u32 n = 4;
        printf("%d ", config(f, 1, 1000000, 10)); printf("%d %d ", exchange(f, tx, rx, &n), (int)n); hex(rx, 4);
        exchange(f, tx, rx, &n); hex(rx, 4); printf("%d\\n", close(f)); }"""
    )
    assert spi.lines() == ["0 0 4 00ef4018", "00000000", "0"]
    assert app.pins == {10, 11, 12, 13}
    assert [(r.bus, r.sent, r.received) for r in spi.board.spi.exchanges(0, 10).records] == [
        (2, b"\x9f\0\0\0", b"\0\xef\x40\x18"),
        (2, b"\x9f\0\0\0", bytes(4)),
    ]


def test_spi_loop_gives_back_what_was_sent(spi: Bench) -> None:
    spi.board.spi.connect(1, loopback=True, answers=[])
    spi.run(
        GLUE
        + """void on_init(void) { int f = open("/dev/spi/1", RW, 0); u8 b[3] = {1, 2, 3}, rx[3]; u32 n = 3;
        config(f, 1, 1000000, 10); exchange(f, b, rx, &n); hex(rx, 3); }"""
    )
    assert spi.lines() == ["010203"]


def test_spi_refuses_what_the_driver_refuses(spi: Bench) -> None:
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


def test_flash_bus_opens_and_cannot_be_configured(spi: Bench) -> None:
    spi.run(
        GLUE
        + """void on_init(void) { int f = open("/dev/spi/0", RW, 0); printf("%d %d\\n", f >= 0,
        config(f, 1, 1000000, 10)); }"""
    )
    assert spi.lines() == ["1 -1"]


def test_spi_bus_with_a_bad_clock_stays_set_up_until_a_reset(spi: Bench) -> None:
    source = """void on_init(void) { int f = open("/dev/spi/2", RW, 0); printf("%d", config(f, 1, CLOCK, 10));
        printf(" %d\\n", config(f, 1, 1000000, 10)); }"""
    spi.run(GLUE + source.replace("CLOCK", "90000000"))
    assert spi.lines() == ["-1 -1"]
    spi.board.reset()
    spi.run(GLUE + source.replace("CLOCK", "80000000"), name="again")
    assert spi.lines("again") == ["0 -1"]


def test_spi_bus_of_an_app_that_ended_can_be_configured_again(spi: Bench) -> None:
    source = GLUE + """void on_init(void) { printf("%d\\n", config(open("/dev/spi/2", RW, 0), 1, 1000, 10)); }"""
    first = spi.run(source, name="first")
    spi.run(source, name="second")
    assert first.stop()
    spi.run(source, name="third")
    assert [spi.lines(name) for name in ("first", "second", "third")] == [["0"], ["-1"], ["0"]]
