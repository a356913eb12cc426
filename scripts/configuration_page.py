"""Writes docs/reference/settings.md from the declaration of the settings. Run: make docs"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from microclaw.host.config.schema import all_settings, dotted
from microclaw.host.config.show import value_text

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"
_HEAD: Final = """# Settings

<!-- made from src/microclaw/host/config/settings.py by `make docs`: change it there -->

Secrets are marked *. An empty default means: not set. How a setting is set: [configuration.md](../configuration.md).
"""


def page() -> str:
    """The whole page."""
    rows = [_HEAD, "| setting | default | meaning |", "| --- | --- | --- |"]
    for path, setting in all_settings():
        if setting.default is None:
            default = ""
        else:
            default = f"`{value_text(setting.default)}`"
        meaning = setting.about
        if setting.choices:
            meaning += f" ({', '.join(f'`{choice}`' for choice in setting.choices)})"
        if setting.low is not None and setting.high is not None:
            meaning += f" ({setting.low:.15g} to {setting.high:.15g})"
        rows.append(f"| `{dotted(path)}`{' *' if setting.secret else ''} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
