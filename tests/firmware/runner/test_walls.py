"""The names that a program makes at run time find its files, and nothing of the firmware."""

from __future__ import annotations

import pytest
from tests.firmware.runner.conftest import ROOT, MicroPython

from microclaw.boards.reader import load_board
from microclaw.py.compile import build
from microclaw.py.stock import stock_image

SECRET = "the Wi-Fi's password"


def said(micropython: MicroPython, body: str) -> list[str]:
    """The lines of a program on a board whose /settings.json has a secret."""
    (micropython.folder / "settings.json").write_text(SECRET)
    lines = "\n    ".join(body.strip().split("\n"))
    micropython.compile("p", f"async def main(E):\n    {lines}\n")
    found, crashes = micropython.act("""
        await install(runner, "p")
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


def test_a_file_is_opened_by_its_name_alone(micropython: MicroPython) -> None:
    body = """
for path in (0, 3, None, b"settings.json"):
    try:
        E.print("reached", E.module("io").open(path))
    except TypeError as exc:
        E.print(exc)
"""
    assert said(micropython, body) == ["a file is opened by its name"] * 4


FIRMWARE = ["settings", "runner", "link", "board", "builtins", "vfs", "uos", "network", "socket", "uctypes", "main"]
REFUSED = [
    "sys.modules",
    "sys.path",
    "os.mount",
    "os.chdir",
    "os.dupterm",
    "os.VfsLfs2",
    "io.FileIO",
    "asyncio.core",
    "asyncio._attrs",
    "gc.disable",
    "micropython.kbd_intr",
    "machine.reset",
    "machine.RTC",
    "machine.mem32",
    "machine.SDCard",
    "os._real",
    "sys.stdin",
]


def test_modules_and_names_are_those_of_programs(micropython: MicroPython) -> None:
    body = f"""
for name in {FIRMWARE}:
    try:
        E.print("reached", E.module(name))
    except ImportError as exc:
        if str(exc) != "no module named '" + name + "'":
            E.print(exc)
for name in {REFUSED}:
    module, name = name.split(".")
    try:
        E.print("reached", getattr(E.module(module), name))
    except AttributeError:
        pass
E.print("all refused")
"""
    assert said(micropython, body) == ["all refused"]


def test_only_constants_of_pin_pass(micropython: MicroPython) -> None:
    body = """
Pin = E.module("machine").Pin
for thing, name in ((Pin, "board"), (Pin, "cpu"), (Pin(4), "board"), (Pin(4), "cpu"), (Pin, "init")):
    try:
        E.print("reached", getattr(thing, name))
    except AttributeError:
        E.print("no")
E.print(Pin.OUT, Pin.PULL_UP, Pin(4).IN)
raise SystemExit
"""
    assert said(micropython, body) == ["no"] * 5 + ["3 2 1"]


def test_the_chips_clock_is_read_and_never_changed(micropython: MicroPython) -> None:
    body = """
freq = getattr(E.module("machine"), "fr" + "eq")
E.print(freq())
try:
    freq(20000000)
except TypeError:
    E.print("no")
"""
    assert said(micropython, body) == ["160000000", "no"]


NUMBERS = """
class Two(int):
    def __hash__(self):
        return 99
    def __eq__(self, other):
        return False
class Zero:
    def __int__(self):
        return 0
machine = E.module("machine")
"""


MADE = [
    *("machine.UART(0)", "machine.UART(0, 9600, tx=4, rx=5)", "machine.UART(False)", "machine.UART(Zero())"),
    *("machine.UART(Two(0))", "machine.Pin(Two(6))", "machine.Pin('GPIO6')", "machine.PWM('GPIO6')"),
    *("machine.I2C(0, scl='GPIO6', sda=5)", "machine.SoftI2C(5, 6)", "machine.SoftI2C('GPIO5', 'GPIO6')"),
    "machine.UART(2, tx=6)",
]


def test_what_is_no_plain_number_of_a_free_pin_is_refused(micropython: MicroPython) -> None:
    tries = "".join(
        f"try:\n    E.print('made', {made})\nexcept ValueError as exc:\n    E.print('no', len(exc.args[0]) > 5)\n"
        for made in MADE
    )
    assert said(micropython, f"{NUMBERS}{tries}raise SystemExit\n") == ["no True"] * len(MADE)


def test_default_pins_of_a_bus_are_claimed(micropython: MicroPython) -> None:
    micropython.compile(
        "p",
        """
        async def main(E):
            machine = E.module("machine")
            machine.I2C(0)
            machine.I2C(0)
            machine.UART(2, 9600, tx=4)
            machine.SPI(1, sck=machine.Pin(15), mosi=machine.Pin(2))
            await E.sleep(100)
    """,
    )
    pins = micropython.act("""
        await install(runner, "p")
        await asyncio.sleep_ms(100)
        return [row(runner, "p")["pins"], events()]
    """)
    assert pins == [[2, 4, 12, 15, 16, 18, 19], []]


@pytest.mark.parametrize(("made", "why"), [("I2C(0)", "pin 19 belongs to the program other"), ("UART(1)", "the flash")])
def test_bus_whose_default_pins_are_not_free_is_ended_again(micropython: MicroPython, made: str, why: str) -> None:
    micropython.compile(
        "other",
        """
        async def main(E):
            E.module("machine").Pin(19)
            await E.sleep(100)
    """,
    )
    micropython.compile(
        "p",
        f"""
        async def main(E):
            machine = E.module("machine")
            machine.Pin(4)
            try:
                machine.{made}
            except (OSError, ValueError) as exc:
                E.print(exc)
            await E.sleep(100)
    """,
    )
    told, pins, on = micropython.run("""
        async def main():
            runner = new_runner(reserved={"9": "the flash", "10": "the flash"})
            await install(runner, "other")
            await install(runner, "p")
            await until(lambda: lines())
            return [lines(), row(runner, "p")["pins"], len(machine.inited)]
        run(main)
    """)
    assert why in told[0]
    assert (len(told), pins, on) == (1, [4], 0)


def test_text_for_stdout_goes_the_way_of_print(micropython: MicroPython) -> None:
    body = r"""
sys = E.module("sys")
E.print(sys.stdout.write('{"status":"ok"}\n'))
sys.stdout.buffer.write(b"by\xc3\xa4tes\n")
sys.stdout.buffer.write(b"raw \xff\n")
sys.stderr.write("\x1b]0;owned\x07\n")
print("file", 1, file=sys.stdout)
sys.stdout.flush()
try:
    1 // 0
except ZeroDivisionError as exc:
    sys.print_exception(exc)
    text = E.module("io").StringIO()
    sys.print_exception(exc, text)
    E.print("again", text.getvalue().split("\n")[-2])
"""
    # `run` fails on what the program itself wrote to the real output: the answer is not its only line then.
    found = said(micropython, body)
    assert found[:6] == ['{"status":"ok"}', "16", "by\u00e4tes", "raw ?", "\x1b]0;owned\x07", "file 1"]
    assert "ZeroDivisionError" in found[-2]
    assert found[-1].startswith("again ZeroDivisionError")


TRY = "from machine import Pin\nimport machine, sys\nclass N(Exception): pass\n{}\ntry:\n    print('reached', f())\nexcept Exception as e:\n    print('no', e.__class__.__name__)\nsys.exit()\n"


TRICKS = [
    ("class S(str):\n    def startswith(self, x):\n        return False\ndef f(): return getattr(Pin(4), S('_' + 'env'))", "TypeError"),
    ("class A:\n    _env = 1\n    def f(self):\n        return self._env\ndef f(): return A.f(Pin(4))", "AttributeError"),
    ("class A:\n    _x = 1\n    def f(self, n):\n        return getattr(self, '_' + n)\ndef f(): return A.f(Pin(4), 'env')", "AttributeError"),
    ("class A:\n    def f(self):\n        return self.__dict__\ndef f(): return A.f(Pin(4))", "AttributeError"),
    ("class A:\n    def f(self):\n        return type(self)('/settings.json')\ndef f(): return A.f(open('a.txt', 'w'))", "AttributeError"),
    ("class A:\n    def f(self):\n        self.__class__.value = print\ndef f(): return A.f(Pin(4))", "AttributeError"),
    ("class A:\n    def __new__(cls): return Pin(4)\na = A()\ndef f(): return a._env\nclass B:\n    _env = 1", "AttributeError"),
    ("def type(x): return 0\ndef str(x): return 0\ndef f(): return getattr(Pin(4), '_' + 'env')", "AttributeError"),
    ("class B:\n    _timeline = 1\n    def f(self, x):\n        self._timeline = x\ndef f():\n    p = Pin(4, Pin.OUT)\n    B.f(p, 3)\n    p.value(1)\n    raise N()", "N"),
    ("def f():\n    p = Pin(4, Pin.OUT)\n    setattr(p, '_' + 'timeline', 3)\n    p.value(1)\n    raise N()", "N"),
]  # fmt: skip


async def test_tricks_around_the_hosts_checks_end_on_the_board(micropython: MicroPython) -> None:
    """Programs of the host's making, on a board whose /settings.json has a secret."""
    (micropython.folder / "settings.json").write_text(SECRET)
    for number, (lines, _) in enumerate(TRICKS):
        image = await build(TRY.format(lines), f"p{number}", board=load_board("virtual"))
        (micropython.folder / f"p{number}.mpy").write_bytes(image.mpy)
    found = micropython.with_room().act(f"""
        for number in range({len(TRICKS)}):
            await install(runner, "p", "p%d" % number, heap=20_480)
            await until(lambda: len(lines()) > number)
            await runner.remove("p")
        return lines()
    """)
    assert found == [f"no {exception}" for _, exception in TRICKS]


def test_host_and_firmware_agree_on_what_is_refused() -> None:
    text = (ROOT / "firmware/fw/modules.py").read_text(encoding="utf-8")
    space: dict[str, object] = {}
    start, end = text.index("NAMES ="), text.index("_OF_OS")
    exec(text[start:end], space)  # plain constants
    names, refused = space["NAMES"], space["REFUSED"]
    assert isinstance(names, str)
    assert isinstance(refused, dict)
    assert {*names.split(), "machine"} == set(stock_image().modules)
    asked = {name for name in stock_image().refused if name.partition(".")[0] in refused and "." in name}
    told = {f"{module}.{name}" for module, listed in refused.items() for name in listed.split()}
    assert {name.rstrip("_") for name in asked} - told <= {"micropython.alloc_emergency_exception_buf"}
