"""A power cut at every change of flash of an update: the board boots the old firmware or the new one, whole."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.conftest import MICROPYTHON, ROOT
from tests.firmware.ota_offers import ANY_TIME, NAME, keys_manifest, offered, packed, signer
from tests.firmware.programs import image

from microclaw.devices.ota.bundle import pack

SCRIPT = "tests/firmware/simulated/update_cuts.py"
EVERY = int(os.environ.get("MICROCLAW_CUTS_EVERY", "13"))
"""One change of flash of so many is cut, by one of three manners in turn; 1: each, by all three."""
OLD = {"start.mpy": b"old" * 700, "about.json": b'{"version":"1.0.0"}', "gone.mpy": b"x" * 5000}
ABOUT = b'{"name":"microclaw-micropython","version":"1.4.0","security_version":3}'


@pytest.fixture
def case(tmp_path: Path) -> dict[str, Any]:
    """An update that the board takes."""
    new = {
        "start.mpy": image(tmp_path, "start", "def main():\n    print('new', 'firmware')\n" * 20),
        "texts.txt": bytes(range(256)) * 9,
        "about.json": ABOUT,
    }
    payload = pack(new)
    return offer(new, payload)


def offer(new: dict[str, bytes], payload: bytes, **changes: Any) -> dict[str, Any]:
    signed = offered(payload, **changes)
    keys = json.dumps({"keys": {signer().key_id: signer().n}, "channel": "stable", "serial": 1})
    return {
        "old": {name: text(found) for name, found in OLD.items()},
        "new": {name: text(found) for name, found in new.items()},
        "payload": text(payload),
        **{name: text(data) for name, data in signed.items()},
        "keys": f"{keys}\n{hashlib.sha256(keys.encode()).hexdigest()}",
        "new_version": "1.4.0",
        "new_is": "healthy",
        "cuts": [],
    }


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def runs(case: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    path = folder / "case.json"
    path.write_text(json.dumps(case))
    done = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=24M", SCRIPT, path], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"{lines[-1:]} {done.stderr[-3000:]} {done.stdout[-3000:]}"
    return [json.loads(line) for line in lines]


def said(run: dict[str, Any]) -> list[str]:
    """States in order. One may come twice: as progress, to an offer that was not acked, or after a cut."""
    states = [state for _, _, state, _, _ in run["heard"]]
    return [state for at, state in enumerate(states) if not at or states[at - 1] != state]


WELL = ["offered", "downloading", "verifying", "staged", "rebooting", "trial", "healthy"]


WRONG: list[tuple[dict[str, bytes | None], dict[str, str], str]] = [
    ({}, {"sha256": "ab" * 32}, "wrong_hash"),
    ({"start.mpy": None}, {}, "bad_bundle: it has no start.mpy"),
    ({"cut.mpy": b"M\x06\x00\x1f\x05\x00"}, {}, "bad_bundle"),
]
"""Other files, another manifest."""


@pytest.mark.parametrize(("files", "changes", "error"), WRONG, ids=[row[2] for row in WRONG])
def test_a_payload_that_is_not_what_was_signed_for_is_not_started(
    case: dict[str, Any], tmp_path: Path, files: dict[str, bytes | None], changes: dict[str, str], error: str
) -> None:
    new = {name: base64.b64decode(found) for name, found in case["new"].items()}
    given = {name: data for name, data in {**new, **files}.items() if data is not None}
    (run,) = runs(offer(given, pack(given), **changes), tmp_path)
    assert said(run) == ["offered", "downloading", "verifying", "failed"]
    assert run["heard"][-1][4].startswith(error)
    assert run["ways"] == ["old"]
    assert (run["left"], run["numbers"]["slot"]) == (["state"], 0)


def test_an_update_that_does_not_fit_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    new = {"start.mpy": b"x" * 150_000, "about.json": ABOUT}
    (run,) = runs(offer(new, pack(new)), tmp_path)
    assert said(run) == ["refused"]
    assert run["heard"][-1][4].startswith("no_room")


def test_a_power_cut_at_any_change_of_flash_leaves_a_whole_firmware(case: dict[str, Any], tmp_path: Path) -> None:
    (run,) = runs(case, tmp_path)
    places = range(0, run["changes"], EVERY)
    case["cuts"] = [[at, how] for n, at in enumerate(places) for how in range(3) if EVERY == 1 or n % 3 == how]
    found = runs(case, tmp_path)
    assert len(found) > 10
    for each in found[1:]:
        assert said(each) == WELL
        assert each["numbers"]["slot"] == 1


@pytest.mark.parametrize("new_is", ["broken", "deaf"])
def test_a_firmware_without_a_welcome_goes_back_after_three_starts_and_no_power_cut_keeps_it(
    case: dict[str, Any], tmp_path: Path, new_is: str
) -> None:
    """Broken: it does not run at all. Deaf: it runs, and reaches no host. Cuts from the choice of the new slot on."""
    case["new_is"] = new_is
    (run,) = runs(case, tmp_path)
    assert run["heard"][-1][4] == "unhealthy: watchdog"
    crash = "crashed" if new_is == "broken" else "reset"
    assert run["ways"] == ["reset", crash, crash, crash, "old"]
    case["cuts"] = [[at, at % 3] for at in range(run["changes"] * 2 // 3, run["changes"], min(EVERY, 5))]
    found = runs(case, tmp_path)
    assert found[0]["numbers"] == {"slot": 0, "fails": 0, "trial": 0, "ran_s": 60}
    for each in found:
        assert said(each) == [*WELL[:-1], "rolled_back"]
        assert (each["numbers"]["slot"], each["numbers"]["trial"]) == (0, 0)


def test_a_power_cut_at_any_change_of_flash_of_a_key_change_leaves_the_old_keys_or_the_new(
    case: dict[str, Any], tmp_path: Path
) -> None:
    """Never none, and never a mix: each start looks at them. The host's offer comes again until it is acked."""
    change = packed(keys_manifest(name=NAME, **ANY_TIME))
    case |= {"manifest": text(change), "signature": text(signer().sign(change))}
    case["key_sets"] = [[signer().key_id], [signer(1).key_id]]
    (run,) = runs(case, tmp_path)
    assert [(version, state) for _, version, state, _, _ in run["heard"]] == [("keys-2", "healthy")]
    assert run["changes"] > 3
    case["cuts"] = [[at, how] for at in range(run["changes"]) for how in range(3) if EVERY == 1 or at % 3 == how]
    found = runs(case, tmp_path)
    for each in found:
        assert each["keys"] == [signer(1).key_id]
        assert {(version, state) for _, version, state, _, _ in each["heard"]} == {("keys-2", "healthy")}
        assert each["numbers"]["slot"] == 0
    assert sum("cut" in each["ways"] for each in found) >= run["changes"] // 2
