"""The catalogue: what is shipped, and folders that others wrote, which are checked before anything of them is used."""

from __future__ import annotations

import os
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from microclaw.errors import ConfigError, UnknownName
from microclaw.programs.patterns.catalog import MAX_DESCRIPTION_BYTES, SHIPPED, Catalog, shipped

ROOT = Path(__file__).parents[3]
TOML = """title = "a knock"
app = "knock"
version = "1.2.0"
about = "It knocks."
kinds = ["py"]
missing = "nobody wrote it"
expect = "pin {PIN}: high at 1 s"

[[wiring]]
part = "LED"
wires = [["PIN", "anode"]]

[parameters.PIN]
type = "pin"
use = "output"
default = 4
"""
PY = "from machine import Pin\n\nPIN = 4\nPin(PIN, Pin.OUT, value=1)\n"


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write an entry into the folder of a catalogue; the entry's own folder."""

    def write(name: str = "knock", version: str = "1.2.0", text: str = TOML, source: str | None = PY) -> Path:
        folder = tmp_path / "shelf" / name / version
        folder.mkdir(parents=True)
        (folder / f"{name}.toml").write_text(text)
        if source is not None:
            (folder / f"{name}.py").write_text(source)
        return folder

    return write


def test_each_that_is_shipped_comes_with_all_that_belongs_to_an_entry() -> None:
    for entry in shipped():
        assert set(entry.kinds) == {"wasm", "py"} or entry.missing
        assert all(one.title for one in entry.parameters.values())
        for kind in entry.kinds:
            assert entry.fill({}, kind, blocking=True).expect


def test_the_examples_are_those_made_from_the_catalogue() -> None:
    """If this fails: make docs."""
    script = runpy.run_path(str(ROOT / "scripts" / "examples.py"))
    made = script["files"]()
    by_hand = script["BY_HAND"]
    files = {one.relative_to(ROOT / "examples"): one for one in (ROOT / "examples").rglob("*") if one.is_file()}
    assert set(by_hand) <= {path.parts[0] for path in files}
    there = {str(path): one for path, one in files.items() if path.parts[0] not in by_hand}
    assert set(there) == set(made)
    assert {path: one.read_text(encoding="utf-8") for path, one in there.items()} == made


def test_the_newest_version_counts_by_its_numbers(put: Callable[..., Path], tmp_path: Path) -> None:
    for version in ("1.2.0", "1.10.0", "1.9.3"):
        put(version=version, text=TOML.replace("1.2.0", version))
    put(version="notes")
    (found,) = Catalog(only=str(tmp_path / "shelf")).entries
    assert found.version == (1, 10, 0)
    assert "PIN = 7\n" in found.fill({"PIN": 7}, "py").source
    with pytest.raises(ConfigError):
        found.fill({}, "wasm")


def test_one_name_in_two_catalogues_is_asked_about(put: Callable[..., Path], tmp_path: Path) -> None:
    put("blink", text=TOML)
    shelf = tmp_path / "shelf"
    catalog = Catalog([shelf, tmp_path / "nowhere"])
    assert [entry.name for entry in catalog.search(["i2c", "humidity"])] == ["bme280"]
    assert [entry.folder for entry in catalog.search(["blink"]) if entry.name == "blink"] == [str(shelf), SHIPPED]
    assert "nowhere" in catalog.mistakes[0].message
    with pytest.raises(ConfigError):
        catalog.find("blink")
    assert Catalog(only=str(shelf)).find("blink").version == (1, 2, 0)
    with pytest.raises(UnknownName):
        catalog.find("blonk")


MISTAKES = [
    ("title = ", "knock.toml:1: this is not TOML"),
    ("x = " + "[" * 5000, "knock.toml: this is not TOML"),
    ("x = 1\n" + ".".join("a" * 20_000) + " = 1", "knock.toml:2: a key of too many parts"),
    ("title = 'a knock'\n\xff".encode("latin-1"), "knock.toml:2: this line is not UTF-8"),
    ("#" * (MAX_DESCRIPTION_BYTES + 1), "knock.toml: has more than"),
    (TOML.replace('"1.2.0"', '"1.2"'), "knock.toml:3: "),
    (TOML.replace('app = "knock"', 'app = "../knock"'), "knock.toml:2: "),
    (TOML.replace('["PIN", "anode"]', '["NIP", "anode"]'), "NIP, which is no pin"),
    (TOML.replace('missing = "nobody wrote it"\n', ""), "missing has to say why"),
    (TOML.replace("default = 4", "default = 4000"), "pin cannot be 4000"),
    (TOML.replace('["py"]', '["wasm"]\nsource = "../../../knock.c"'), "knock.toml:6: "),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_a_wrong_entry_is_told_with_its_line_and_the_others_are_there(
    text: str | bytes, said: str, put: Callable[..., Path], tmp_path: Path
) -> None:
    put("right")
    file = put() / "knock.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    shelf = Catalog(only=str(tmp_path / "shelf"))
    assert [entry.name for entry in shelf.entries] == ["right"]
    assert said in shelf.mistakes[0].message


def test_nothing_outside_of_the_folder_is_read(put: Callable[..., Path], tmp_path: Path) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text(PY)
    folder = put("links", source=None)
    (folder / "links.py").symlink_to(secret)
    os.mkfifo(put("pipes", source=None) / "pipes.py")
    shutil.copytree(folder.parent, tmp_path / "elsewhere" / "knock")
    (tmp_path / "shelf" / "knock").symlink_to(tmp_path / "elsewhere" / "knock")
    (tmp_path / "shelf" / "links" / "2.0.0").symlink_to(folder)
    shelf = Catalog(only=str(tmp_path / "shelf"))
    assert shelf.entries == []
    said = [mistake.message.removeprefix(f"{tmp_path}/shelf/") for mistake in shelf.mistakes]
    assert sorted(said) == [
        "knock: no entry is in it; an entry is NAME/VERSION/NAME.toml, and no link",
        "links/1.2.0/links.py: is a link, a pipe, a device or a folder, and not a file",
        "pipes/1.2.0/pipes.py: is a link, a pipe, a device or a folder, and not a file",
    ]


def test_the_entry_of_the_documentation_is_one(put: Callable[..., Path], tmp_path: Path) -> None:
    page = (ROOT / "docs" / "catalog.md").read_text(encoding="utf-8")
    text = page.partition("```toml\n")[2].partition("```")[0]
    folder = put("lamp", "1.0.0", text, "PIN = 4\nHOLD_MS = 1000\n")
    (folder / "lamp.c").write_text("#define PIN 4\n#define HOLD_MS 1000\n")
    (entry,) = Catalog(only=str(tmp_path / "shelf")).entries
    assert entry.fill({"PIN": 7}, "py").expect == "pin 7: high at 1 s\n"


def test_the_text_of_an_entry_steers_no_terminal(put: Callable[..., Path], tmp_path: Path) -> None:
    put(text=TOML.replace("It knocks.", "It \\u001b[2J knocks."))
    (entry,) = Catalog(only=str(tmp_path / "shelf")).entries
    assert "\x1b" not in entry.about
