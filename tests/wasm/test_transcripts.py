"""The transcripts of programs 50 and up are what a native build prints, on a clock that only sleeping moves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[1] / "vectors" / "programs"
PROGRAMS = sorted(path.stem for path in PLACE.glob("*.c") if path.stem >= "50")


def test_there_are_at_least_25_of_them() -> None:
    assert len(PROGRAMS) >= 25


@pytest.mark.parametrize("name", PROGRAMS)
def test_transcript_is_what_a_native_build_prints(name: str, tmp_path: Path) -> None:
    native = PLACE / "native"
    command = ["cc", "-std=gnu17", "-O1", "-Wall", "-Wno-unused-function", "-Werror", "-I", str(native)]
    built = tmp_path / name
    subprocess.run([*command, "-include", str(native / "fake.h"), "-o", str(built), f"{PLACE / name}.c"], check=True)
    # What main returns is its exit code; INDEX.tsv has it.
    printed = subprocess.run([str(built)], capture_output=True, text=True, check=False, timeout=20).stdout.splitlines()
    expected = (PLACE / f"{name}.expected").read_text().splitlines()
    assert printed[: len(expected)] == expected
    assert len(printed) == len(expected) or "arduino" in name
