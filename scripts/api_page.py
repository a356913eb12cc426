"""Writes docs/reference/api.md and api-forms.md from the OpenAPI document of a host of its own. Run: make docs"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from microclaw.api.failures import STATUS_BY_CODE
from microclaw.api.reference import Field, Form, Piece, ReferenceRoute, forms_of, routes_of
from microclaw.app import running_host
from microclaw.client import Client
from microclaw.config.load import load_settings

FOLDER: Final = Path(__file__).parents[1] / "docs" / "reference"
_HEAD: Final = """# HTTP API

<!-- made from the routes (src/microclaw/api) by `make docs`: change it there -->

Every route: who may call it at least, its parameters, body and answers. How requests, errors, streams and acts that
wait for a yes work: [api.md](../api.md); roles and tokens: [people.md](../people.md); the pages for browsers:
[page.md](../page.md). A running host shows the same at `/api/docs`, and the document at `/api/openapi.json`.

The fields of bodies and answers: [api-forms.md](api-forms.md). `?` marks what may be left out; the value in brackets
is what counts then.
"""
_FORMS: Final = """# Forms of the HTTP API

<!-- made from the routes (src/microclaw/api) by `make docs`: change it there -->

The fields of bodies and answers of [the routes](api.md). `?` marks a field that may be left out, the value in brackets
is what counts then. A field may be added to an answer at any time; a body with a field that is not here is refused.
"""
_ERRORS: Final = """## Errors

Each route may answer these, as `Error`; those of `/v1/chat/completions` and `/v1/models` as `OpenAIError`. Besides:
401 without a valid token or session, 405 another method, 408 a body that is late, 415 a body that is no JSON by its
type, 429 too many tries or a spent budget.

| `code` | status |
| --- | --- |
"""


def pages(document: Mapping[str, Any]) -> dict[str, str]:
    """The text of each page, by its name."""
    routes = routes_of(document)
    groups = {name: list(found) for name, found in groupby(routes, key=lambda one: one.group)}
    contents = "\n".join(f"- [{_title(name)}](#{name}): {len(found)}" for name, found in groups.items())
    codes = "\n".join(f"| `{code}` | {status} |" for code, status in sorted(STATUS_BY_CODE.items())) + "\n"
    parts = [_HEAD, contents + "\n- [Errors](#errors)\n"]
    for name, found in groups.items():
        parts += [f"## {_title(name)}\n", *map(_route, found)]
    forms = "\n".join([_FORMS, *map(_form, forms_of(document))])
    return {"api.md": "\n".join([*parts, _ERRORS + codes]), "api-forms.md": forms}


_ANY_TEXT: Final = (("text", False),)


def _title(group: str) -> str:
    return {"openai": "OpenAI"}.get(group, group[:1].upper() + group[1:])


def _route(one: ReferenceRoute) -> str:
    lines = [f"### {one.method} {one.path}", "", f"{one.summary}. Least role: {one.role}.", ""]
    lines += [
        f"- {'' if row.required else '?'}`{row.name}` ({row.place}): {_told(row)}"
        for row in one.parameters
        if row.place != "path" or row.about or row.kind != _ANY_TEXT  # its name in the path says the rest
    ]
    if one.body is not None:
        lines.append(f"- body: {_kind(one.body)}")
    lines += [f"- {_answer(*answer)}" for answer in one.answers]
    return "\n".join([*lines, ""])


def _answer(status: str, media: str, kind: Iterable[Piece]) -> str:
    words = "a stream" if media == "text/event-stream" else _kind(kind) if media else "nothing"
    return f"{status}: {words}" + ("" if media in ("", "application/json") else f", as `{media}`")


def _form(form: Form) -> str:
    lines = [f"### {form.name}", ""] + ([form.about, ""] if form.about else [])
    lines += [f"- {'' if row.required else '?'}`{row.name}`: {_told(row)}" for row in form.fields]
    return "\n".join([*lines, *([_kind(form.kind)] if form.kind else []), ""])


def _told(row: Field) -> str:
    about = f". {' '.join(row.about.split())}" if row.about else ""
    return _kind(row.kind) + (f" (`{row.default}`)" if row.default is not None else "") + about


def _kind(pieces: Iterable[Piece]) -> str:
    """Names of forms are links; brackets are escaped where they would be read as links."""
    return "".join(
        f"[{words}](api-forms.md#{words.lower()})" if is_form else words.replace("[", "\\[").replace("]", "\\]")
        for words, is_form in pieces
    )


async def document() -> dict[str, Any]:
    """Of a host of its own, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({}, home=Path(folder), http_port=0)
        async with running_host(settings):
            return await asyncio.to_thread(Client(settings.control_socket).get, "/api/openapi.json")


if __name__ == "__main__":
    for name, text in pages(asyncio.run(document())).items():
        (FOLDER / name).write_text(text, encoding="utf-8")
