"""`device provision --batch`: secrets for many boards at once, as a table and as sheets of labels to print.

Each label has a board's name and its line as a QR code (docs/protocols/link.md). Who reads a label can become that
board, once: the files are private, and a secret is spent by the first board that uses it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from microclaw.cli.options import GlobalOptions
from microclaw.durable import write_private
from microclaw.errors import ConfigError
from microclaw.link_server.operations import provision
from microclaw.operations.client import Client
from microclaw.text import count_text

COLUMNS: Final = ("name", "host", "port", "ca_sha256", "secret", "line", "expires", "claimed")
COLUMNS_OF_LABELS: Final = 3
ROWS_OF_LABELS: Final = 8
PER_SHEET: Final = COLUMNS_OF_LABELS * ROWS_OF_LABELS
_PAGE_MM: Final = (210.0, 297.0)  # A4; a label is 70 x 37 mm, as common sheets have 24 of them
_LABEL_MM: Final = (70.0, 37.0)
_QR_MM: Final = 29.0


def check_files(out: Path, sheet: Path | None, *, force: bool) -> None:
    """Before any secret is made. Raises ConfigError."""
    if sheet is not None and sheet.suffix != ".svg":
        raise ConfigError(f"{sheet} is no .svg", next_step="such as --sheet labels.svg: it is printed by any browser")
    for path in (out, *([] if sheet is None else sheet_paths(sheet, PER_SHEET + 1))):
        if not path.parent.is_dir():
            raise ConfigError(f"there is no folder {path.parent}", next_step="make it, or name another one")
        if path.exists() and not force:
            raise ConfigError(f"{path} is there already", next_step="name another file, or give --force")


def provision_many(
    options: GlobalOptions, host: Client, asked: dict[str, Any], *, out: Path, sheet: Path | None, force: bool
) -> None:
    """`asked` is for the act; writes the table, and the sheets where they are wanted."""
    check_files(out, sheet, force=force)
    made = host.call(provision, **asked)
    boards = [{**asdict(one), "line": one.uri, "expires": one.expires} for one in made.boards]
    write_private(out, to_csv(boards).encode())
    sheets = [] if sheet is None else sheet_paths(sheet, len(boards))
    for path, page in zip(sheets, pages(boards), strict=False):
        write_private(path, page.encode())
    files = [str(out), *map(str, sheets)]
    document = {"names": [one["name"] for one in boards], "expires_ms": made.boards[0].expires_ms, "files": files}
    options.end_with_json("provision_batch", document)
    options.line(f"{count_text(len(boards), 'board')}: {boards[0]['name']} to {boards[-1]['name']}")
    options.say(f"written, for your eyes only: {', '.join(files)}")
    if made.only_local:  # --address was given
        options.say("this host lets in devices of this machine alone; others: microclaw up --link 0.0.0.0:8443")
    options.say(f"each secret is good for one board, until {boards[0]['expires']}. next: microclaw flash --claim {out}")


def to_csv(boards: Sequence[Mapping[str, Any]]) -> str:
    """The table; `claimed` is the day on which `flash --claim` gave a row to a board."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(boards)
    return text.getvalue()


def sheet_paths(sheet: Path, count: int) -> list[Path]:
    """One file a page: labels.svg, or labels-1.svg, labels-2.svg and so on where one page is not enough."""
    page_count = -(-count // PER_SHEET)
    if page_count <= 1:
        return [sheet]
    return [sheet.with_name(f"{sheet.stem}-{number}{sheet.suffix}") for number in range(1, page_count + 1)]


def pages(boards: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The sheets as SVG, A4, 24 labels each."""
    for at in range(0, len(boards), PER_SHEET):
        labels = (_label(board, number) for number, board in enumerate(boards[at : at + PER_SHEET]))
        width, height = _PAGE_MM
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm"'
            f' viewBox="0 0 {width} {height}" font-family="sans-serif">\n' + "".join(labels) + "</svg>\n"
        )


def _label(board: dict[str, Any], number: int) -> str:
    row, column = divmod(number, COLUMNS_OF_LABELS)
    width, height = _LABEL_MM
    left, top = column * width, 0.5 + row * height
    lines = (board["name"], f"{board['host']}:{board['port']}", f"until {board['expires']}")
    x = left + 4 + _QR_MM + 3
    texts = "".join(
        f'<text x="{x:.1f}" y="{top + 13 + 6 * at:.1f}" font-size="{4.2 if at == 0 else 2.6}">{escape(line)}</text>\n'
        for at, line in enumerate(lines)
    )
    return _qr(board["line"], left + 4, top + (height - _QR_MM) / 2) + texts


def _qr(line: str, x: float, y: float) -> str:
    """Dark modules as one path; the label is the quiet zone."""
    import segno  # QR codes: only here

    code = segno.make(line, error="m", micro=False)
    rows = list(code.matrix)
    module = _QR_MM / len(rows)
    dark = "".join(f"M{at} {down}h1v1h-1z" for down, row in enumerate(rows) for at, bit in enumerate(row) if bit)
    return f'<path transform="translate({x:.2f} {y:.2f}) scale({module:.4f})" d="{dark}"/>\n'
