"""The boot selector: which folder of our files is started, and when the other one. Power cuts: test_update_cuts.py."""

from __future__ import annotations

from pathlib import Path

from tests.firmware.conftest import ROOT, micropython

SCRIPT = f"""
sys.path.insert(0, {str(ROOT / "firmware")!r})
import esp32, main
both, nvs = ["/fw_a", "/fw_b"], esp32.NVS("")
def chosen(times, folders, **numbers):
    esp32._memory.clear()
    esp32._memory.update(numbers)
    print([main.choose(nvs, folders) for _ in range(times)])
chosen(26, both)
chosen(5, both, slot=1, trial=2)
chosen(9, ["/fw_a"], slot=1)
main.FOLDERS = (WORDS[0] + "/a", WORDS[0] + "/b")
print(len(main.whole()))
open(main.FOLDERS[1] + "/whole", "w").close()
print([name[-1] for name in main.whole()])
"""


def test_a_folder_that_fails_gives_way_after_twelve_starts_one_on_trial_after_three_and_half_a_one_is_last(
    tmp_path: Path,
) -> None:
    """A person who pulls the plug a few times gets no old firmware by it. The only folder is started anyway."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "start.mpy").touch()
    assert micropython(SCRIPT, str(tmp_path)).splitlines() == [
        str(["/fw_a"] * 12 + ["/fw_b"] * 12 + ["/fw_a"] * 2),
        str(["/fw_b"] * 3 + ["/fw_a"] * 2),
        str(["/fw_a"] * 9),
        "2",
        "['b']",
    ]
