"""The boot selector: which folder of our files is started, and when the other one."""

from __future__ import annotations

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


def test_a_folder_that_fails_three_times_gives_way_to_the_other() -> None:
    script = """
nvs = NVS()
print([main.choose(nvs, ["/fw_a", "/fw_b", "/apps"]) for _ in range(8)])
nvs.set_i32("fails", 0)
print(main.choose(nvs, ["/fw_a", "/fw_b"]), sorted(nvs.kept.items()))
"""
    assert micropython(HEAD + script).splitlines() == [
        str(["/fw_a"] * 3 + ["/fw_b"] * 3 + ["/fw_a"] * 2),
        "/fw_a [('fails', 1), ('slot', 0)]",
    ]


def test_the_only_folder_is_started_however_often_it_fails() -> None:
    script = """
nvs = NVS()
print({main.choose(nvs, ["/fw_a"]) for _ in range(9)})
nvs.set_i32("slot", 1)
print(main.choose(nvs, ["/fw_a"]))
"""
    assert micropython(HEAD + script) == "{'/fw_a'}\n/fw_a\n"
