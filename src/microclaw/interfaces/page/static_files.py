"""The page's files, read once: the document at its paths, and its scripts, styles and pictures. They hold no data.

What a browser shows of the host, its scripts fetch from the API (docs/page.md).
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from microclaw.hardware.parts.reader import part_drawing, part_folders

STATIC: Final = Path(__file__).parent / "static"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    "font-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
VIEWS: Final = (
    "/",
    "/signin",
    "/boards",
    "/boards/{rest:path}",
    "/chat",
    "/chat/{rest:path}",
    "/editor",
    "/editor/{rest:path}",
    "/activity",
    "/schedules",
    "/memory",
    "/rollouts",
    "/flash",
    "/people",
    "/usage",
)
"""The paths that the document is at; api.access has a row for each."""
FILES: Final = "/page/{name:path}"
_DOCUMENT: Final = "index.html"
_FIRST_SCRIPT: Final = "app.js"
_IMPORTED: Final = re.compile(rb'^(?:import|\} from|export) .*?"\./([^"]+)";$', re.MULTILINE)
_NO_WEIGHT: Final = re.compile(r"q\s*=\s*0(\.0{0,3})?")
_DEEPEST: Final = 6  # folders of a view's path
_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class PageFile:
    """A file as it is sent."""

    content: bytes
    media_type: str
    etag: str

    @cached_property
    def packed(self) -> bytes:
        """The same in gzip; made when a browser first asks, as packing all of them delays a host's start."""
        return gzip.compress(self.content, mtime=0)

    def response(self, request: Request) -> Response:
        headers = {
            "ETag": self.etag,
            "Cache-Control": "no-cache",  # kept, and asked about each time: a newer host has newer files
            "Content-Security-Policy": POLICY,
            "Vary": "Accept-Encoding",
        }
        packs = accepts_gzip(request.headers.get("accept-encoding", ""))
        if packs:
            headers["ETag"] = f'{self.etag[:-1]}-gzip"'  # other bytes have another strong tag: RFC 9110, 8.8.3
        known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
        if "*" in known or headers["ETag"] in known:
            return Response(status_code=304, headers=headers)
        content = self.content
        if packs:
            content, headers["Content-Encoding"] = self.packed, "gzip"
        return Response(content, media_type=self.media_type, headers=headers)


def accepts_gzip(accept_encoding: str) -> bool:
    """True if a client takes gzip: RFC 9110, 12.5.3. Its own weight counts before that of `*`."""
    weights: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        coding, *parameters = (one.strip() for one in part.split(";"))
        weights[coding] = not any(_NO_WEIGHT.fullmatch(one) for one in parameters)
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


@cache
def page_files() -> Mapping[str, PageFile]:
    """Return every file that may be sent, by its path: those below `static`, and the drawings as `parts/NAME/FILE`.

    A file that is added later is not known.
    """
    files: dict[str, PageFile] = {}
    for path in sorted(STATIC.rglob("*")):
        if path.suffix in _MEDIA_TYPES and path.is_file():
            files[path.relative_to(STATIC).as_posix()] = _page_file(path)
    for path in part_drawings():
        files[f"parts/{path.parent.name}/{path.name}"] = _page_file(path)
    return files


def part_drawings() -> tuple[Path, ...]:
    """Return the drawings of the parts that have one."""
    return tuple(path for path in map(part_drawing, part_folders()) if path is not None)


def _page_file(path: Path) -> PageFile:
    return _made(path.read_bytes(), _MEDIA_TYPES[path.suffix])


def _first_scripts(files: Mapping[str, PageFile]) -> tuple[str, ...]:
    """The first script, what it imports, and what that does: a browser that knows all of them fetches them at once."""
    found = [_FIRST_SCRIPT]
    for name in found:  # it grows meanwhile
        imported = (one.decode() for one in _IMPORTED.findall(files[name].content))
        found += [one for one in dict.fromkeys(imported) if one not in found]
    return tuple(found)


@cache
def _document(depth: int) -> PageFile:
    """With the files' addresses from `depth` folders below the host's root: the root may be a path of a proxy."""
    files = page_files()
    early = "".join(f'<link rel="modulepreload" href="page/{name}">\n' for name in _first_scripts(files))
    # The scripts fetch the drawings of wired parts, and ask for no file that is not there.
    drawings = " ".join(f"{path.parent.name}/{path.name}" for path in part_drawings())
    early += f'<meta name="drawings" content="{drawings}">\n'
    text = files[_DOCUMENT].content.replace(b"</head>", early.encode() + b"</head>")
    return _made(text.replace(b'="page/', b'="' + b"../" * depth + b"page/"), files[_DOCUMENT].media_type)


def _made(content: bytes, media_type: str) -> PageFile:
    return PageFile(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def document_at(request: Request) -> Response:
    """The page's document for one of VIEWS. HTTPException 404."""
    raw_path: bytes = request.scope["raw_path"]  # a %2F in a board's name is no folder
    depth = raw_path.partition(b"?")[0].count(b"/") - 1
    if depth > _DEEPEST:
        raise HTTPException(404, "the page has no such view")
    return _document(depth).response(request)
