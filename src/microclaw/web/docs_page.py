"""The API's documentation as one plain page, made from its OpenAPI document: no script, nothing from elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_STYLE = (
    "body{font:16px/1.5 system-ui;max-width:52rem;margin:2rem auto;padding:0 1rem}"
    "pre{background:#f4f4f4;padding:.8rem;overflow:auto}"
)


def docs_page(openapi: dict[str, Any]) -> str:
    """Each route with its summary and the schema of what it takes; a link to the whole document."""
    info = openapi["info"]
    title = escape(f"{info['title']} {info['version']}")
    schemas = openapi.get("components", {}).get("schemas", {})
    routes = "".join(
        _route(f"{method.upper()} {path}", operation, schemas)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    )
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
    return f"{head}<h1>{title}</h1><p>The whole document: <a href=openapi.json>openapi.json</a></p>{routes}</html>"


def _route(name: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    schema = schemas.get(str(body.get("$ref", "")).rpartition("/")[2], body)
    fields = escape(json.dumps(schema.get("properties", schema), indent=2))
    heading = f"<h2><code>{escape(name)}</code></h2><p>{escape(operation.get('summary', ''))}</p>"
    return heading + (f"<pre>{fields}</pre>" if schema else "")
