"""apps.page: an HTTP request to a program, its answer in pieces. A file of the firmware asks Python programs."""

from __future__ import annotations

import threading
from base64 import b64decode, b64encode
from typing import Any, Final, cast

from microclaw.virtual.firmware.program_runners import ProgramRunners
from microclaw.virtual.link.calls import text, whole
from microclaw.virtual.py.programs import CallRefused
from microclaw.wire.link.values import Value, ValueMap

PIECE_BYTES: Final = 8_192
CALL_S: Final = 0.4


class _Answer:
    """A WebAssembly program's answer, once it is there."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.content = b""
        self.is_whole = threading.Event()

    def take(self, content: bytes) -> None:
        self.content = content
        self.is_whole.set()


class ProgramPages:
    """The pages of one boot's programs: one request at a time, which its number names."""

    def __init__(self, runners: ProgramRunners) -> None:
        self._runners = runners
        self._answer = _Answer(-1)

    def read(self, params: ValueMap) -> Value:
        """Return the answer's bytes from `cursor` on; a new `number` makes a new request."""
        name = text(params, "name")
        number = whole(params, "number", 0, 2**31)
        cursor = whole(params, "cursor", 0, 2**31, 0)
        request = params.get("request", b"")
        if not isinstance(request, bytes):
            raise CallRefused("bad_params", "request must be bytes")
        if any(app.name == name for app in self._runners.wasm.apps):
            return self._read_wasm(name, number, cursor, request)
        return self._read_py(name, number, cursor, request)

    def _read_wasm(self, name: str, number: int, cursor: int, request: bytes) -> Value:
        if self._answer.number != number:
            if cursor:
                raise CallRefused("failed", "this answer is over")
            self._answer = _Answer(number)
            if not self._runners.wasm.ask_page(request, self._answer.take, name):
                raise CallRefused("not_supported", f"{name} serves no pages")
        answer = self._answer
        is_whole = answer.is_whole.wait(CALL_S)
        piece = answer.content[cursor : cursor + PIECE_BYTES]
        end = cursor + len(piece)
        return {"answer": piece, "more": not is_whole or end < len(answer.content), "cursor": end}

    def _read_py(self, name: str, number: int, cursor: int, request: bytes) -> Value:
        order: ValueMap = {"name": name, "number": number, "cursor": cursor}
        if request:
            order["data"] = b64encode(request).decode()
        piece = cast("dict[str, Any]", self._runners.py.call("page", order))
        return {**piece, "answer": b64decode(piece["answer"])}
