"""The API's documentation as one plain page, made from its OpenAPI document: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_STYLE = "body{font:16px/1.5 system-ui;max-width:52rem;margin:2rem auto;padding:0 1rem}pre{background:#f4f4f4;padding:.8rem;overflow:auto}"


def docs_page(openapi: dict[str, Any]) -> str:
    """Each route with its summary and the schemas of what it takes; links to the whole document."""
    info = openapi["info"]
    title = f"{info['title']} {info['version']}"
    schemas = openapi.get("components", {}).get("schemas", {})
    sections = [
        _route(path, method, operation, schemas)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1><p>The whole document: <a href=openapi.json>openapi.json</a></p>{''.join(sections)}</html>"
    )


def _route(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    named = str(body.get("$ref", "")).rpartition("/")[2]
    schema = schemas.get(named, body)
    shown = f"<pre>{escape(json.dumps(schema.get('properties', schema), indent=2))}</pre>" if schema else ""
    return f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}</p>{shown}"
