"""The boot selector: which folder of our files is started, and when the other one."""

from __future__ import annotations

from pathlib import Path

from tests.firmware.conftest import ROOT, micropython

HEAD = f"""
sys.path.insert(0, {str(ROOT / "firmware")!r})
class NVS:
    def __init__(self):
        self.kept, self.new = {{}}, {{}}
    def get_i32(self, name):
        if name not in self.new:
            raise OSError(-4354)
        return self.new[name]
    def set_i32(self, name, value):
        self.new[name] = value
    def commit(self):
        self.kept = dict(self.new)
class Module:
    pass
sys.modules["esp32"] = Module()
main = __import__("main")
"""


def test_a_folder_that_fails_gives_way_to_the_other_after_twelve_starts_and_an_update_on_trial_after_three() -> None:
    """A person who pulls the plug a few times gets no old firmware by it. The only folder is started anyway."""
    script = """
both = ["/fw_a", "/fw_b"]
nvs = NVS()
print([main.choose(nvs, both) for _ in range(26)])
nvs = NVS()
nvs.new = {"slot": 1, "trial": 2}
print([main.choose(nvs, both) for _ in range(5)])
nvs.set_i32("fails", 0)
print(main.choose(nvs, both), sorted(nvs.kept.items()))
nvs = NVS()
print({main.choose(nvs, ["/fw_a"]) for _ in range(9)})
nvs.set_i32("slot", 1)
print(main.choose(nvs, ["/fw_a"]))
"""
    assert micropython(HEAD + script).splitlines() == [
        str(["/fw_a"] * 12 + ["/fw_b"] * 12 + ["/fw_a"] * 2),
        str(["/fw_b"] * 3 + ["/fw_a"] * 2),
        "/fw_a [('fails', 1), ('slot', 0), ('trial', 2)]",
        "{'/fw_a'}",
        "/fw_a",
    ]


def test_a_cut_while_it_goes_back_does_not_bring_the_bad_folder_again() -> None:
    script = """
class Cut(Exception):
    pass
class Cutting(NVS):
    def set_i32(self, name, value):
        super().set_i32(name, value)
        if name == "slot":
            raise Cut()
nvs = Cutting()
nvs.new = {"slot": 1, "trial": 2, "fails": 3}
try:
    main.choose(nvs, ["/fw_a", "/fw_b"])
except Cut:
    pass
print([main.choose(nvs, ["/fw_a", "/fw_b"]) for _ in range(5)])
"""
    assert micropython(HEAD + script) == f"{['/fw_a'] * 5}\n"


def test_a_folder_without_its_last_file_is_started_only_where_none_is_whole(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "start.mpy").touch()
    script = """
main.FOLDERS = (WORDS[0] + "/a", WORDS[0] + "/b")
print([name[-1] for name in main.whole()])
open(main.FOLDERS[1] + "/whole", "w").close()
print([name[-1] for name in main.whole()], main.choose(NVS(), main.whole())[-1])
"""
    assert micropython(HEAD + script, str(tmp_path)) == "['a', 'b']\n['b'] b\n"
