"""The page for browsers: its document at each of its views, and its files. They are page/static_files.py's."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from microclaw.api.by_hand import Asked, by_hand
from microclaw.operations.operation import Access
from microclaw.page.static_files import FILES, VIEWS, document_at, page_files


async def _view(_: Any, asked: Asked) -> Response:
    """The page for browsers."""
    return document_at(asked.request)


async def _view_of_one(_: Any, asked: Asked, rest: str) -> Response:  # noqa: ARG001  the path has it
    """The page for browsers."""
    return document_at(asked.request)


for _path in VIEWS:
    _declare = by_hand(
        f"page.{_path.strip('/') or 'front'}", http=f"GET {_path}", access=Access.OPEN, media="text/html"
    )
    _declare(_view_of_one if "{" in _path else _view)


@by_hand("page.file", http=f"GET {FILES}", access=Access.OPEN, media="*/*")
async def file(_: Any, asked: Asked, name: str) -> Response:
    """A script, style or picture of the page."""
    found = page_files().get(name)
    if found is None:
        raise HTTPException(404, "the page has no such file")
    return found.response(asked.request)
