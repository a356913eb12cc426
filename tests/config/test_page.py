"""docs/reference/settings.md has every setting as it is declared; the example of docs/configuration.md is right."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from microclaw.config.load import find_mistakes

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_table_of_settings_is_the_one_made_from_the_declaration() -> None:
    """If this fails: make docs."""
    script = runpy.run_path(str(REPOSITORY / "scripts" / "configuration_page.py"))
    page = (REPOSITORY / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert script["page"]() == page


def test_the_example_has_no_mistake(tmp_path: Path) -> None:
    example = PAGE.partition("```toml\n")[2].partition("```")[0]
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", example), "x")
    (tmp_path / "config.toml").write_text(example)
    assert find_mistakes(environ, tmp_path) == []
