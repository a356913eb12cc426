"""/api/docs: the routes and forms of this host as one HTML page without scripts. It asks nothing of the host."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import groupby
from typing import Any, Final

from microclaw.api.reference import Field, Form, Piece, ReferenceRoute, forms_of, routes_of

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
}
_STYLE: Final = (
    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}"
    "h3{margin:2rem 0 .2rem;font-size:1rem}p,ul{margin:.3rem 0}code{background:#8882;padding:0 .2rem}"
    ":root{color-scheme:light dark}"
)


def docs_page(openapi: dict[str, Any]) -> str:
    """Each route with its least role, parameters, body and answers; below them the fields of every form."""
    info = openapi["info"]
    title = escape(f"{info['title']} {info['version']}")
    groups = [(name, list(found)) for name, found in groupby(routes_of(openapi), key=lambda one: one.group)]
    links = " · ".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name, _ in groups)
    routes = "".join(f'<h2 id="{escape(name)}">{escape(name)}</h2>' + "".join(map(_route, of)) for name, of in groups)
    forms = "".join(map(_form, forms_of(openapi)))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"
        f"<p>The whole document: <a href=openapi.json>openapi.json</a>. <b>?</b> marks what may be left out; "
        f"the value in brackets is what counts then. Every status of 400 and above answers {_link('Error')}, "
        f"OpenAI's routes {_link('OpenAIError')}.</p>"
        f"<nav>{links} · <a href=#forms>forms</a></nav>{routes}<h2 id=forms>forms</h2>{forms}</html>"
    )


def _route(one: ReferenceRoute) -> str:
    rows = [_field(row, f" ({row.place})") for row in one.parameters]
    if one.body is not None:
        rows.append(f"body: {_kind(one.body)}")
    rows += [f"{status}: {_kind(kind)} <small>{escape(media)}</small>" for status, media, kind in one.answers]
    about = f"{escape(one.summary)}. <small>Least role: {escape(one.role)}</small>"
    return f"<h3><code>{escape(f'{one.method} {one.path}')}</code></h3><p>{about}</p>{_list(rows)}"


def _form(form: Form) -> str:
    about = f"<p>{escape(form.about)}</p>" if form.about else ""
    rows = [_field(row) for row in form.fields] or [_kind(form.kind)]
    return f'<h3 id="form-{escape(form.name)}">{escape(form.name)}</h3>{about}{_list(rows)}'


def _field(row: Field, place: str = "") -> str:
    name = f"{'' if row.required else '<b>?</b>'}<code>{escape(row.name)}</code>{escape(place)}"
    default = "" if row.default is None else f" (<code>{escape(row.default)}</code>)"
    return f"{name}: {_kind(row.kind)}{default}" + (f". {escape(row.about)}" if row.about else "")


def _list(rows: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{row}" for row in rows) + "</ul>"


def _kind(pieces: Iterable[Piece]) -> str:
    return "".join(_link(words) if is_form else escape(words) for words, is_form in pieces)


def _link(form: str) -> str:
    return f'<a href="#form-{escape(form)}">{escape(form)}</a>'
