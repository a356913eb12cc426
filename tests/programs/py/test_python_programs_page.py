"""The programs of docs/python-programs.md build; docs/reference/program-api.md has every word of the API."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from tests.programs.py.conftest import Build

from microclaw.hardware.boards.micropython.stock import stock_image

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = (ROOT / "docs/python-programs.md").read_text(encoding="utf-8")
WORDS: Final = (ROOT / "docs/reference/program-api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
async def test_program_of_the_page_builds_without_a_warning(source: str, build_py: Build) -> None:
    assert (await build_py(source)).warnings == ()


def test_page_firmware_and_check_have_the_same_words() -> None:
    table = WORDS.partition("## Python: the words")[2].partition("\n## ")[0]
    words = {word.split(".")[0] for word in re.findall(r"^\| `([a-z0-9.]+)\(", table, re.MULTILINE)}
    firmware = (ROOT / "firmware/fw/microclaw.py").read_text(encoding="utf-8")
    made = firmware.partition("class Api:")[2].partition("\nasync def")[0]
    functions = re.findall(r"^    (?:async )?def ([a-z]\w*)", made, re.MULTILINE)
    defined = {*functions, *re.findall(r"self\.([a-z]\w*) = ", made)}
    assert words == defined == stock_image().modules["microclaw"]
