"""catalog: the ready programs that this host knows, and one of them with its wiring and its program. Installs none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from microclaw.auth.gate import Effect, Permission
from microclaw.errors import ConfigError, ToolRetry, UnknownName
from microclaw.events import ProgramKind
from microclaw.patterns.catalog import LANGUAGES, SHIPPED, Catalog, Entry
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput

_MAX_LISTED: Final = 60
_MAX_SOURCE_CHARS: Final = 12_000
_KINDS: Final[dict[str, ProgramKind]] = {"c": "wasm", "py": "py"}


class CatalogParameters(Parameters):
    name: str | None = Field(None, max_length=64, description="One entry, with wiring, expectations and source.")
    words: str | None = Field(None, max_length=200, description="Only entries with all of these words.")
    language: Literal["c", "py"] | None = Field(None, description="Of the source.")


def catalog_tool(*, folders: Sequence[Path]) -> Tool[Any]:
    """catalog. `folders` are looked at beside the shipped catalogue."""

    async def catalog(asked: CatalogParameters, _: ToolContext) -> ToolOutput:
        return await asyncio.to_thread(look, asked)

    def look(asked: CatalogParameters) -> ToolOutput:
        known = Catalog(folders)
        if asked.name is None:
            return _listed(known, (asked.words or "").split())
        try:
            return _shown(known.find(asked.name), asked.language)
        except (ConfigError, UnknownName) as exc:
            raise ToolRetry(exc.message, next_step=exc.next_step or "catalog without a name lists the entries") from exc

    text = (
        "The ready, tried programs that this host knows (blink, thermostat, door sensor, ...): a list, or one with its "
        "wiring, its expectations and its source to start from."
    )
    return Tool("catalog", text, CatalogParameters, Permission.READ, Effect.READ, catalog)


def _listed(catalog: Catalog, words: Sequence[str]) -> ToolOutput:
    found = catalog.search(words)
    rows = [{"name": one.name, "title": one.title, "in": _languages(one)} for one in found[:_MAX_LISTED]]
    fields: dict[str, Any] = {"success": True, "entries": rows, "count": len(found)}
    if catalog.mistakes:
        fields["mistakes"] = len(catalog.mistakes)
        fields["next"] = "microclaw catalog search tells a person of the mistakes"
    return ToolOutput(fields, foreign=any(one.folder != SHIPPED for one in found[:_MAX_LISTED]))


def _shown(entry: Entry, language: str | None) -> ToolOutput:
    kind = entry.kinds[0] if language is None else _KINDS[language]
    program = entry.fill({}, kind)
    parameters = [{"name": one.name.lower(), "is": one.default, "what": one.title} for one in entry.parameters.values()]
    source = program.source[:_MAX_SOURCE_CHARS]
    fields: dict[str, Any] = {
        "success": True,
        "name": entry.name,
        "version": entry.version_text,
        "about": entry.about,
        "in": _languages(entry),
        "parameters": parameters,
        "wiring": entry.diagram({}),
        "expect": program.expect,
        "language": LANGUAGES[kind],
        "source": source,
        "next": f"deploy-wasm-app with this source; a person: microclaw catalog install {entry.name}",
    }
    if len(source) < len(program.source):
        fields["cut"] = f"the source has {len(program.source):,} characters"
    return ToolOutput(fields, foreign=entry.folder != SHIPPED)


def _languages(entry: Entry) -> str:
    return ", ".join(LANGUAGES[kind] for kind in entry.kinds)
