"""The names that a program makes at run time find its files, and nothing of the firmware."""

from __future__ import annotations

import json

import pytest
from tests.firmware.conftest import ROOT
from tests.firmware.runner.conftest import MicroPython

from microclaw.hardware.boards.micropython.stock import stock_image

SECRET = "the Wi-Fi's password"


def said(micropython: MicroPython, body: str) -> list[str]:
    """The lines of a program on a board whose /settings.json has a secret."""
    (micropython.folder / "settings.json").write_text(SECRET)
    lines = "\n    ".join(body.strip().split("\n"))
    micropython.compile("p", f"async def main(E):\n    {lines}\n")
    found, crashes = micropython.with_room().act("""
        await install(runner, "p", heap=40_960)
        await until(lambda: events())
        return [lines(), events("app.crash")]
    """)
    assert not crashes
    assert (micropython.folder / "settings.json").read_text() == SECRET
    assert isinstance(found, list)
    return found


OUTSIDE = [
    *("settings.json", "/settings.json", "../settings.json", "/../settings.json", "//settings.json"),
    *("./../settings.json", "a/../../settings.json", "/data/../settings.json", "../data/../settings.json"),
    "..//..//settings.json",
]


def test_the_firmwares_files_are_out_of_reach(micropython: MicroPython) -> None:
    body = f"""
os = E.module("os")
for path in {OUTSIDE!r}:
    for act in (
        E.module("io").open,
        os.stat,
        os.remove,
        lambda path: os.rename(path, "mine"),
    ):
        try:
            E.print("reached", path, act(path))
        except OSError as exc:
            if exc.errno != E.module("errno").ENOENT:
                E.print(path, exc)
    if list(os.ilistdir(path + "/..")):
        E.print("listed", path)
E.print(os.listdir(), os.listdir("/"), os.listdir("../.."), os.getcwd())
for path in {OUTSIDE!r}:
    try:
        with E.module("io").open(path, "w") as file:
            file.write("own")
    except OSError:
        pass
"""
    assert said(micropython, body) == ["[] [] [] /"]
    assert (micropython.folder / "data").is_dir()


NUMBERS = """
class Two(int):
    def __hash__(self):
        return 99
    def __eq__(self, other):
        return False
class Zero:
    def __int__(self):
        return 0
machine, io = E.module("machine"), E.module("io")
"""
REFUSED = {
    "TypeError": ["io.open(0)", "io.open(3)", "io.open(None)", "io.open(b'settings.json')", "machine.freq(20000000)"],
    "ImportError": [
        *("E.module('settings')", "E.module('runner')", "E.module('link')", "E.module('board')", "E.module('vfs')"),
        *("E.module('builtins')", "E.module('uos')", "E.module('uctypes')", "E.module('main')"),
        "E.module('netport')",
    ],
    "AttributeError": [
        *("E.module('sys').modules", "E.module('sys').path", "E.module('sys').stdin", "io.FileIO"),
        *(f"E.module('os').{name}" for name in ("mount", "chdir", "dupterm", "VfsLfs2", "_real")),
        *("E.module('asyncio').core", "E.module('asyncio')._attrs", "E.module('gc').disable"),
        *("E.module('micropython').kbd_intr", "machine.deepsleep", "machine.WDT", "machine.mem32", "machine.SDCard"),
        *("machine.Pin.board", "machine.Pin.cpu", "machine.Pin(4).board", "machine.Pin(4).cpu", "machine.Pin.init"),
    ],
    "ValueError": [  # what is no plain number of a free pin
        *("machine.UART(0)", "machine.UART(0, 9600, tx=4, rx=5)", "machine.UART(False)", "machine.UART(Zero())"),
        *("machine.UART(Two(0))", "machine.Pin(Two(6))", "machine.Pin('GPIO6')", "machine.PWM('GPIO6')"),
        *("machine.I2C(0, scl='GPIO6', sda=5)", "machine.SoftI2C(5, 6)", "machine.SoftI2C('GPIO5', 'GPIO6')"),
        "machine.UART(2, tx=6)",
    ],
}


@pytest.mark.parametrize("error", REFUSED)
def test_what_leads_out_of_a_program_is_refused(micropython: MicroPython, error: str) -> None:
    tries = "".join(
        f"try:\n    E.print({made!r}, {made})\nexcept {error}:\n    E.print('no')\n" for made in REFUSED[error]
    )
    allowed = "E.print(machine.Pin.OUT, machine.Pin.PULL_UP, machine.Pin(4).IN, machine.freq())\nraise SystemExit\n"
    assert said(micropython, NUMBERS + tries + allowed) == ["no"] * len(REFUSED[error]) + ["3 2 1 160000000"]


def test_default_pins_of_a_bus_are_claimed_and_one_whose_pins_are_not_free_is_ended_again(
    micropython: MicroPython,
) -> None:
    buses = """
async def main(E):
    machine = E.module("machine")
    machine.Pin(4)
    for make in (
        lambda: machine.I2C(0),
        lambda: machine.UART(1),
        lambda: machine.UART(2, 9600, tx=5),
        lambda: machine.SPI(1, sck=machine.Pin(15), mosi=machine.Pin(2)),
    ):
        try:
            make()
            E.print("made")
        except (OSError, ValueError) as exc:
            E.print(exc)
    await E.sleep(100)
"""
    micropython.compile("other", 'async def main(E):\n    E.module("machine").Pin(19)\n    await E.sleep(100)\n')
    micropython.compile("p", buses)
    said, pins, on = micropython.run("""
        async def main():
            runner = new_runner(reserved={"9": "the flash", "10": "the flash"})
            await install(runner, "other")
            await install(runner, "p")
            await until(lambda: len(lines()) == 4)
            return [lines(), row(runner, "p")["pins"], len(machine.inited)]
        run(main)
    """)
    assert said[0] == "pin 19 belongs to the program other"
    assert "the flash" in said[1]
    assert said[2:] == ["made", "made"]
    assert (pins, on) == ([2, 4, 5, 12, 15, 16], 2)


def test_host_and_firmware_agree_on_what_is_refused() -> None:
    text = (ROOT / "firmware/fw/modules.py").read_text(encoding="utf-8")
    space: dict[str, object] = {}
    start = text.index("NAMES =")
    end = text.index("_OF_OS")
    exec(text[start:end], space)  # plain constants
    names = space["NAMES"]
    refused = space["REFUSED"]
    assert isinstance(names, str)
    assert isinstance(refused, dict)
    assert {*names.split(), "machine"} == set(stock_image().modules)
    asked = {name for name in stock_image().refused if name.partition(".")[0] in refused and "." in name}
    told = {f"{module}.{name}" for module, listed in refused.items() for name in listed.split()}
    assert {name.rstrip("_") for name in asked} - told <= {"micropython.alloc_emergency_exception_buf"}


MADE = {
    "machine.Pin": ("E.module('machine').Pin(4, 1)", "E.module('machine').Pin(5, 0)"),
    "machine.Signal": ("E.module('machine').Signal(E.module('machine').Pin(4, 1), invert=True)",),
    "machine.RTC": ("E.module('machine').RTC()",),
    "microclaw.pin": ("E.module('microclaw').pin(4)", "E.module('microclaw').pin(5, 'in')"),
    "microclaw.adc": ("__import__('microclaw_devices').Adc",),
    "microclaw.pwm": ("E.module('microclaw').pwm(4)",),
    "microclaw.servo": ("E.module('microclaw').servo(4)",),
    "network.WLAN": ("E.module('network').WLAN(0)",),
    "microclaw.neopixel": ("__import__('microclaw_devices').Strip(None, 2)",),
}
OF_THE_IMAGE = {"machine.PWM", "machine.ADC"}
"""MicroPython's own, which the port for computers lacks."""
OF_THE_FIRMWARE = {"handle", "stop_counting"}
"""What its own files call of an input."""


def test_an_object_has_the_names_of_its_list_and_no_others(micropython: MicroPython) -> None:
    rows = [(kind, made) for kind, several in MADE.items() for made in several]
    lines = "".join(
        f"    made = {made}\n    E.print(E.module('json').dumps([n for n in dir(made) if n[0] != '_' and n == n.lower()]))\n"
        for _, made in rows
    )
    micropython.compile("p", f"async def main(E):\n{lines}")
    printed = micropython.act(f"""
        await install(runner, "p")
        await until(lambda: len(lines()) == {len(rows)} or events("app.crash"))
        return lines() + events("app.crash")
    """)
    assert MADE.keys() | OF_THE_IMAGE == stock_image().objects.keys()
    for (kind, _), line in zip(rows, printed, strict=True):
        assert set(json.loads(line)) - OF_THE_FIRMWARE == stock_image().objects[kind], kind
