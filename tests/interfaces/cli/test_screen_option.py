"""`run --try --screen FILE`: the last picture of a display as a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interfaces.cli.conftest import Run
from tests.stories.conftest import blink

from microclaw.errors import ConfigError
from microclaw.events import ScreenPicture
from microclaw.interfaces.cli.direct_programs import write_pictures


def picture(part: str) -> ScreenPicture:
    return ScreenPicture(part, 7.0, 1, "pixels", 8, 4, ("x",), "", part.encode())


def test_one_display_goes_into_the_named_file_and_several_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert write_pictures(str(out), [picture("oled1")]) == [out]
    assert out.read_bytes() == b"oled1"
    both = [picture("oled1"), picture("lcd1")]
    paths = write_pictures(str(out), both)
    assert [path.name for path in paths] == ["out-oled1.png", "out-lcd1.png"]
    assert write_pictures(f"lcd1={out}", both) == [out]
    assert out.read_bytes() == b"lcd1"


def test_a_display_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    for screen, pictures in ((f"oled2={out}", [picture("oled1")]), (str(out), [])):
        with pytest.raises(ConfigError, match="showed a picture"):
            write_pictures(screen, pictures)
    assert not out.exists()


def test_a_program_without_a_display_has_no_picture_and_a_host_writes_none(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    ran = run("run", "--try", blink(tmp_path, 2), "--for", "1s", "--screen", out)
    assert (ran.code, "no display showed a picture" in ran.err, out.exists()) == (1, True, False)
    ran = run("run", blink(tmp_path, 2), "--screen", out)
    assert "--screen has no effect with a host" in ran.err
