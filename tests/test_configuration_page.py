"""docs/configuration.md says of every setting what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from microclaw.config.keys import find_key, key_names
from microclaw.config.load import find_mistakes
from microclaw.config.show import read_shown, value_text

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
ROW = re.compile(r"^\| `([a-z_.A-Z\[\]]+)`( \*)? \| (?:`([^`]*)`)? ?\| (.+) \|$", re.MULTILINE)


def test_every_setting_is_on_the_page_with_its_meaning_and_bounds() -> None:
    rows = {row[1]: row for row in ROW.finditer(PAGE.read_text())}
    names = {name.replace("[]", "[N]") for name in key_names() if not name.startswith("model.tasks.")}
    names |= {f"model.tasks.TASK.{name}" for name in ("provider", "name", "api_key", "base_url")}
    assert set(rows) == names
    for name, row in rows.items():
        key = find_key(tuple(name.replace("[N]", "").replace("TASK", "chat").split(".")))
        assert key is not None, name
        assert bool(row[2]) == key.secret, name
        assert row[4].startswith(key.about), name
        if key.low is not None and key.high is not None:
            assert row[4].endswith(f"({key.low:.0f} to {key.high:.0f})"), name


def test_defaults_on_the_page_are_those_of_the_code(tmp_path: Path) -> None:
    defaults = {item.key: value_text(item.value) for item in read_shown(tmp_path, {}) if item.value is not None}
    assert {row[1]: row[3] for row in ROW.finditer(PAGE.read_text()) if row[3]} == defaults


def test_the_example_has_no_mistake(tmp_path: Path) -> None:
    example = PAGE.read_text().partition("```toml\n")[2].partition("```")[0]
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", example), "x")
    (tmp_path / "config.toml").write_text(example)
    assert find_mistakes(environ, tmp_path) == []
