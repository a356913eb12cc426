"""What a program finds by names that are made at run time: its files, and nothing of the firmware."""

from __future__ import annotations

import pytest
from tests.firmware.runner.conftest import ROOT, MicroPython

from microclaw.py.stock import stock_image

SECRET = "the Wi-Fi's password"


def said(micropython: MicroPython, body: str) -> list[str]:
    """The lines of a program on a board whose /settings.json has a secret."""
    (micropython.folder / "settings.json").write_text(SECRET)
    lines = "\n    ".join(body.strip().split("\n"))
    micropython.compile("p", f"async def main(E):\n    {lines}\n")
    found, crashes = micropython.run("""
        async def main():
            runner = new_runner()
            await install(runner, "p")
            await until(lambda: events())
            return [lines(), events("app.crash")]
        run(main)
    """)
    assert not crashes
    assert (micropython.folder / "settings.json").read_text() == SECRET
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    "path",
    [
        "settings.json",
        "/settings.json",
        "../settings.json",
        "/../settings.json",
        "//settings.json",
        "./../settings.json",
        "a/../../settings.json",
        "/data/../settings.json",
        "../data/../settings.json",
        "..//..//settings.json",
    ],
)
def test_the_firmwares_files_are_out_of_reach(micropython: MicroPython, path: str) -> None:
    body = f"""
os = E.module("os")
path = {path!r}
for act in (
    E.module("io").open,
    os.stat,
    os.remove,
    lambda path: os.rename(path, "mine"),
    lambda path: os.ilistdir(path + "/.."),
):
    try:
        E.print("reached", act(path))
    except OSError as exc:
        E.print(exc.errno == E.module("errno").ENOENT)
E.print(os.listdir(), os.listdir("/"), os.listdir("../.."), os.getcwd())
with E.module("io").open(path, "w") as file:
    file.write("own")
E.print(os.listdir("/data") if "/data" in path and ".." not in path else "")
"""
    assert said(micropython, body)[-2:] == ["[] [] [] /", ""]
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


@pytest.mark.parametrize(
    "name", ["settings", "runner", "link", "board", "builtins", "vfs", "uos", "network", "socket", "uctypes", "main"]
)
def test_modules_are_those_of_programs(micropython: MicroPython, name: str) -> None:
    body = f"try:\n    E.print('reached', E.module({name!r}))\nexcept ImportError as exc:\n    E.print(exc)\n"
    assert said(micropython, body) == [f"no module named '{name}'"]


@pytest.mark.parametrize(
    "name",
    [
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
        "machine.mem32",
        "machine.SDCard",
        "os._real",
    ],
)
def test_names_that_are_refused_are_so_at_run_time(micropython: MicroPython, name: str) -> None:
    module, _, attribute = name.partition(".")
    body = (
        f"try:\n    E.print(getattr(E.module({module!r}), {attribute!r}))\nexcept AttributeError:\n    E.print('no')\n"
    )
    assert said(micropython, body) == ["no"]


def test_modules_in_part_do_what_they_did(micropython: MicroPython) -> None:
    body = """
E.print(E.module("sys").maxsize > 0, len(E.module("os").urandom(4)), E.module("gc").mem_free() > 0)
E.print(E.module("io").StringIO("x").read(), E.module("micropython").const(3), E.module("math").floor(2.5))
asyncio = E.module("asyncio")
event = asyncio.Event()
event.set()
await event.wait()
E.print(asyncio.current_task() is not None)
"""
    assert said(micropython, body) == ["True 4 True", "x 3 2", "True"]


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
