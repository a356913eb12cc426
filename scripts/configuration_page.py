"""Writes the table of settings of docs/configuration.md from the declaration. Run: make docs"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from microclaw.config.schema import all_settings, dotted
from microclaw.config.show import value_text

PAGE: Final = Path(__file__).parents[1] / "docs" / "configuration.md"
BEGIN: Final = "<!-- made from src/microclaw/config/settings.py by `make docs`: change it there -->\n"
END: Final = "<!-- end -->\n"


def with_settings(page: str) -> str:
    """The page with its table made again."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def table() -> str:
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for path, setting in all_settings():
        default = "" if setting.default is None else f"`{value_text(setting.default)}`"
        meaning = setting.about
        if setting.choices:
            meaning += f" ({', '.join(f'`{choice}`' for choice in setting.choices)})"
        if setting.low is not None and setting.high is not None:
            meaning += f" ({setting.low:.15g} to {setting.high:.15g})"
        rows.append(f"| `{dotted(path)}`{' *' if setting.secret else ''} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(with_settings(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
