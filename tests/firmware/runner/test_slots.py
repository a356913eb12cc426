"""Programs in flash: uploads, undo, power cuts at every write, kills, damaged files and a full flash."""

from __future__ import annotations

from typing import Any, Final

import pytest
from tests.firmware.runner.conftest import MicroPython

IMAGES: Final = """
        from power import *
        from slots import Slots
        import records
        import storage
        ROOT = FOLDER + "/apps"
        ONE, TWO = b"one " * 100, b"second " * 90

        def put(slots, name, data):
            upload(slots, name, data)
            slots.install(slots.check_upload()[0])

        def state(slots, name="p"):
            "The image's bytes; None if nothing of that name is installed."
            assert name not in slots.damaged, slots.damaged
            if name not in slots.names():
                return None
            folder, slot = slots.image(name)
            with open(folder + "/" + slot + ".mpy", "rb") as file:
                return file.read()
"""

SCENARIOS: Final = {
    "replace": ("put(s, 'p', ONE)", "put(s, 'p', TWO)", "ONE", "TWO"),
    "remove": ("put(s, 'p', ONE)", "s.remove('p')", "ONE", "None"),
    "undo a replace": ("put(s, 'p', ONE); put(s, 'p', TWO)", "s.undo('p')", "TWO", "ONE"),
    "undo a remove": ("put(s, 'p', TWO); s.remove('p')", "s.undo('p')", "None", "TWO"),
    "autostart off": ("put(s, 'p', ONE)", "s.set_autostart('p', False)", "ONE", "ONE"),
    "forget the oldest removed": (
        "put(s, 'p', ONE); s.remove('p'); [(put(s, n, TWO), s.remove(n)) for n in 'abc']; put(s, 'd', TWO)",
        "s.remove('d')",
        "None",
        "None",
    ),
}


@pytest.mark.parametrize(("before", "change", "old", "new"), SCENARIOS.values(), ids=SCENARIOS.keys())
def test_a_power_cut_at_any_write_leaves_the_old_or_the_new(
    micropython: MicroPython, before: str, change: str, old: str, new: str
) -> None:
    """Also a second cut while the next boot tidies up, and the change is possible again after that."""
    cuts = micropython.run(
        IMAGES
        + f"""
        def one(torn, left, left_at_boot):
            erase(ROOT)
            s = Slots(ROOT)
            {before}
            def change():
                {change}
            was_cut = cut(change, left, torn)
            if left_at_boot is not None:
                boot_was_cut = cut(lambda: Slots(ROOT), left_at_boot, torn)
            s = Slots(ROOT)
            found = state(s)
            assert found in ({old}, {new}), (torn, left, left_at_boot, found)
            if not was_cut:
                assert found == {new}
                return None
            put(s, "p", ONE)
            assert state(Slots(ROOT)) == ONE
            return boot_was_cut if left_at_boot is not None else True

        async def main():
            try:
                os.mkdir(ROOT)
            except OSError:
                pass
            cuts = 0
            for torn in (False, True):
                left = 0
                while one(torn, left, None):
                    cuts += 1
                    boot = 0
                    while (torn + left) % 2 and one(torn, left, boot):
                        cuts += 1
                        boot += 1
                    left += 1
            return cuts
        run(main)
    """
    )
    assert cuts >= 4


def slots(micropython: MicroPython, body: str) -> Any:
    lines = "".join(f"\n            {line}" for line in body.strip().split("\n"))
    return micropython.run(
        f"{IMAGES}\n        async def main():\n            s = Slots(ROOT){lines}\n        run(main)\n"
    )


def test_an_upload_resumes_where_it_broke_off_and_another_hash_drops_it(micropython: MicroPython) -> None:
    found = slots(
        micropython,
        """
digest = hashlib.sha256(ONE).digest()
first = s.begin("p", "py", len(ONE), digest)
s.write(0, ONE[:150])
s = Slots(ROOT)
again = s.begin("p", "py", len(ONE), digest)
gap = refused(lambda: s.write(200, ONE[200:]))
early = refused(s.check_upload)
repeated = s.write(100, ONE[100:180])
end = s.write(180, ONE[180:])
s.install(s.check_upload()[0])
other = s.begin("p", "py", len(TWO), hashlib.sha256(TWO).digest())
found = [first, again, gap, early, repeated, end, state(s) == ONE, other, refused(s.check_upload)]
s.begin("q", "py", len(ONE), hashlib.sha256(TWO).digest())
s.write(0, ONE)
return found + [refused(s.check_upload), refused(s.check_upload), refused(lambda: s.write(0, b"x")), s.names()]
""",
    )
    assert found[:9] == [0, 150, "wrong_offset", "wrong_offset", 180, 400, True, 0, "wrong_offset"]
    assert found[9:] == ["hash_mismatch", "no_upload", "no_upload", ["p"]]


def test_undo_takes_the_last_change_back_once_and_too_many_programs_are_refused(micropython: MicroPython) -> None:
    undone, full, counts = slots(
        micropython,
        """
put(s, "p", ONE); put(s, "q", TWO); put(s, "p", TWO)
told = [s.undo_target(), s.undo("p"), state(s) == ONE, refused(lambda: s.undo_target("p"))]
told += [s.undo_target(), s.undo("q"), s.names(), refused(s.undo_target)]
s.remove("p")
s = Slots(ROOT)
told += [s.names(), s.undo_target("p"), s.undo("p"), state(s) == ONE]
for i in range(15):
    put(s, "p%d" % i, ONE)
upload(s, "more", ONE)
full = refused(s.check_upload)
put(s, "p3", TWO)
for i in range(8):
    s.remove("p%d" % i)
put(s, "more", ONE)
return [told, full, [len(s.names()), len(Slots(ROOT).names()), len([n for n in os.listdir(ROOT) if n[0] != "="])]]
""",
    )
    assert undone[:4] == ["p", True, True, "app_not_found"]
    assert undone[4:8] == ["q", False, ["p"], "app_not_found"]
    assert undone[8:] == [[], "p", True, True]
    assert (full, counts) == ("too_many_apps", [9, 9, 13]), "removed ones do not count"


DAMAGE: Final = {
    "image empty": ("a.mpy", "b''", "its image is damaged"),
    "image flipped": ("a.mpy", "b'X' + was[1:]", "its image is damaged"),
    "record cut": ("r0", "was[:30]", "its record is damaged"),
    "record flipped": ("r0", "was.replace(b'py', b'xx').replace(b'now', b'NOW')", "its record is damaged"),
    "record zeros": ("r0", "bytes(len(was))", "its record is damaged"),
    "record not text": ("r0", "bytes(range(256))", "its record is damaged"),
}


def test_a_damaged_program_is_listed_and_the_others_boot(micropython: MicroPython) -> None:
    """It is mended by another install, or removed."""
    micropython.compile("idle", "async def main(E):\n    await E.sleep(100)\n")
    changes = "".join(f"({file!r}, lambda was: {change})," for file, change, _ in DAMAGE.values())
    found, odd = micropython.with_room().run(
        f"""
        import esp32
        async def main():
            found, runner = [], new_runner()
            await install(runner, "good", "idle")
            for file, change in ({changes}):
                bad = "bad%d" % len(found)
                await install(runner, bad, "idle")
                await runner.close()
                path = FOLDER + "/apps/" + bad + "/" + file
                was = open(path, "rb").read()
                with open(path, "wb") as file:
                    file.write(change(was))
                told.clear()
                esp32._handles = 0
                runner = new_runner()
                await runner.boot()
                rows = [[r["state"], r.get("error")] for r in runner.list() if r["name"] in (bad, "good")]
                start = await refused_async(runner.start(bad))
                await install(runner, bad, "idle")
                found.append([rows, start, row(runner, bad)["state"], row(runner, bad).get("error"), lines()])
            await runner.close()
            os.mkdir(FOLDER + "/apps/odd"); os.mkdir(FOLDER + "/apps/odd/r0")
            open(FOLDER + "/apps/file", "w").close()
            esp32._handles = 0
            runner = new_runner()
            await runner.boot()
            odd = "odd" in runner.slots.names() and row(runner, "odd")["state"]
            os.rmdir(FOLDER + "/apps/odd/r0")
            await runner.remove("odd")
            return [found, [odd, "odd" in [r["name"] for r in runner.list()]]]
        run(main)
    """
    )
    for number, ((_, _, error), row) in enumerate(zip(DAMAGE.values(), found, strict=True)):
        listed = [["stopped", error], ["running", None]]
        assert row == [listed, "failed", "running", None, [f"bad{number}: {error}"]]
    assert odd == ["stopped", False]


def test_a_damaged_newest_image_gives_way_to_the_one_before(micropython: MicroPython) -> None:
    found = slots(
        micropython,
        """
put(s, "p", ONE); put(s, "p", TWO)
open(ROOT + "/p/b.mpy", "wb").close()
s = Slots(ROOT)
return [state(s) == ONE, s.notes]
""",
    )
    assert found == [True, {"p": "the newest image is damaged: this is the one before"}]


NAMES = ["..", ".", "été", "%", "UPPER", "%upload", "CON", "x" * 80]


def test_any_name_is_a_folder_of_its_own_and_one_that_is_none_or_of_another_kind_is_refused(
    micropython: MicroPython,
) -> None:
    wrong = ['"a/b", "py", 100, D', '"", "py", 100, D', '"p" * 81, "py", 100, D', '"p", "wasm", 100, D']
    wrong += ['"p", "py", 10_000_000, D', '"p", "py", 100, b"short"', '"p", "py", 100, D, -1']
    refusals = ", ".join(f"refused(lambda: s.begin({arguments}))" for arguments in wrong)
    body = f"""for name in {NAMES!r}:
    put(s, name, ONE)
D = bytes(32)
return [sorted(s.names()), all(state(s, name) == ONE for name in s.names()), os.listdir(FOLDER), [{refusals}]]"""
    names, are_there, files, codes = slots(micropython, body)
    assert (names, are_there) == (sorted(NAMES), True)
    assert set(files) <= {"apps", "script.py"}
    assert codes == ["bad_params"] * 3 + ["not_supported", "too_large"] + ["bad_params"] * 2
