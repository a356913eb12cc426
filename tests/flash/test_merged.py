"""Modules that always stay, made one for boards without PSRAM: what is renamed, what others import, what is refused."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest
from tests.firmware.conftest import MICROPYTHON, ROOT

from microclaw.flash.long_texts import outlined
from microclaw.flash.merged import GROUPS, distinct, merged

FIRMWARE = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "firmware/fw").glob("*.py"))}
TWO = {"all": ("low", "high")}
LOW = "import time\nimport sys\n_MAX = const(3)\ndef find(x):\n    return x + _MAX\n"
HIGH = "import low\nimport sys\n_MAX = const(4)\ndef _find(x):\n    return low.find(x) + _MAX\n"


def run(modules: dict[str, str], folder: Path, script: str) -> str:
    """What a script prints that imports these modules."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    if not MICROPYTHON.exists():
        pytest.skip("scripts/micropython.sh makes MicroPython's unix port")
    command = [str(MICROPYTHON), "-c", f"import sys\nsys.path.insert(0, {str(folder)!r})\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_names_that_two_modules_define_are_both_there(tmp_path: Path) -> None:
    sources = {
        "low": LOW,
        "high": HIGH,
        "other": "import low\nfrom high import _find\nprint(low.find(1), _find(1))\n",
    }
    made = merged(distinct(sources, TWO), TWO)
    assert set(made) == {"all", "other"}
    assert made["all"].count("import sys") == 1
    assert run(made, tmp_path, "import other") == "4 8\n"


def test_a_module_that_is_there_or_not_has_its_own_name(tmp_path: Path) -> None:
    sources = {
        "low": "try:\n    import json\nexcept ImportError:\n    json = None\n",
        "high": "def json():\n    return 1\n",
        "other": "from low import json\nfrom high import json as number\nprint(json.dumps(number()))\n",
    }
    assert run(merged(distinct(sources, TWO), TWO), tmp_path, "import other") == "1\n"


def test_an_import_in_a_function_comes_from_the_merged_module(tmp_path: Path) -> None:
    sources = {"low": LOW, "high": "def f():\n    from low import find\n    return find(2)\n", "other": ""}
    sources["other"] = "def g():\n    import high\n    return high.f()\nprint(g())\n"
    assert run(merged(distinct(sources, TWO), TWO), tmp_path, "import other") == "5\n"


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (LOW, "from low import find as found\n"),  # an import under another name
        (LOW, "import low\nprint(low)\n"),  # the module itself
        ("def find(find):\n    return find\n", "find = 1\n"),  # also an argument
        ("class A:\n    find = 1\ndef find():\n    return 1\n", "find = 1\n"),  # also of a class
    ],
)
def test_what_cannot_be_taken_alike_is_refused(low: str, high: str) -> None:
    with pytest.raises(ValueError, match=r"low|find"):
        merged(distinct({"low": low, "high": high}, TWO), TWO)


def test_every_module_that_stays_is_in_the_firmware() -> None:
    members = [name for group in GROUPS.values() for name in group]
    assert sorted(members) == sorted({*members} & FIRMWARE.keys())


def test_the_merged_modules_are_the_same_each_time() -> None:
    assert merged(distinct(FIRMWARE)) == merged(distinct(dict(FIRMWARE)))


def test_a_text_for_people_is_read_when_it_is_said(tmp_path: Path) -> None:
    source = (
        '"""What it is."""\nWORDS = "one two three four"\n'
        'def f(text, why="no reason at all"):\n    """Say it."""\n'
        '    if text:\n        raise ValueError("this is %s: %s" % (text, why))\n'
        '    return "two words", "session", "a b"\n'
    )
    made, texts = outlined({"low": source, "texts": FIRMWARE["texts"], "other": source}, ("low", "texts"))
    assert texts == b"this is %s: %s\n"
    assert made["other"] == source
    assert "this is" not in made["low"]
    assert '"""Say it."""' in made["low"]
    (tmp_path / "texts.txt").write_bytes(texts)
    script = (
        "import low\nprint(low.f(''), low.WORDS)\ntry:\n    low.f('it')\nexcept ValueError as exc:\n    print(exc)\n"
    )
    assert run(made, tmp_path, script) == (
        "('two words', 'session', 'a b') one two three four\nthis is it: no reason at all\n"
    )
    (tmp_path / "texts.txt").unlink()
    assert "text 0 of the firmware" in run(made, tmp_path, "import texts\nprint(texts.text_at(0))")


def test_no_text_that_is_compared_or_split_leaves_the_firmware() -> None:
    """It would be read from the file with each message."""
    resident = [name for group in GROUPS.values() for name in group]
    made, texts = outlined(FIRMWARE, resident)
    assert len(texts.splitlines()) > 50
    for name in resident:
        for node in ast.walk(ast.parse(made[name])):
            match node:
                case ast.Compare():
                    assert not any(map(_is_text, [node.left, *node.comparators])), ast.unparse(node)
                case ast.Attribute(attr=attr) if attr != "format":
                    assert not _is_text(node.value), ast.unparse(node)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "text_at"
