"""Programs on devices: what is there, checks and trials, installations, and what was changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from microclaw.client.calls import Group, Watch, given
from microclaw.wire.host_api import JsonObject

if TYPE_CHECKING:
    from microclaw.api import answers, host_answers


class Programs(Group):
    """`client.programs`. Of acts that take a while `watch` gets the events; `within_s` is how long they may take."""

    def check(
        self,
        source: str,
        *,
        name: str | None = None,
        language: str | None = None,
        device: str | None = None,
        board: str | None = None,
        optimization: str | None = None,
        heap_bytes: int | None = None,
    ) -> answers.CheckedProgram:
        """Build it and check it for the board of `device`, or for `board`: `ok`, and `findings` with line and column.

        C, C++, a sketch or Python; without `language` the source says which.
        """
        body = given(name=name, language=language, device=device, board=board)
        body |= given(optimization=optimization, heap_bytes=heap_bytes)
        return cast("answers.CheckedProgram", self._host.post("/v1/programs/check", body | {"source": source}))

    def compile(
        self,
        source: str,
        *,
        name: str = "main.c",
        files: Mapping[str, str] | None = None,
        board: str = "virtual",
        optimization: str | None = None,
        compiler: str | None = None,
    ) -> host_answers.CompiledModule:
        """The module that C or C++ makes, for a board: `wasm` in base64, `size`, `imports`, `pins`, `warnings`.

        A fault is a HostError `build_error` with its places in `error.failure.diagnostics`. `files` are the program's
        other files by name.
        """
        body = given(optimizationLevel=optimization, compiler=compiler)
        body |= {"source": source, "name": name, "files": dict(files or {}), "board": board}
        return cast("host_answers.CompiledModule", self._host.post("/api/compile-wasm", body))

    def compilers(self) -> JsonObject:
        """Which compilers the host has, and how to get the others."""
        return self._host.get("/api/compile-wasm")

    def try_out(
        self,
        source: str,
        *,
        language: str | None = None,
        device: str | None = None,
        for_s: float = 10.0,
        inputs: Sequence[tuple[int, int, float]] = (),
        expect: str | None = None,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        """Run it on a throw-away virtual board: `ok`, `edges`, `log`, `evidence`, and `error` with `next`.

        For the board of `device`; `for_s` is board time, `inputs` are (pin, level, second), `expect` as in
        docs/proof.md. A program that does not build is a HostError `build_error`.
        """
        levels = [{"pin": pin, "level": level, "at_ms": round(at_s * 1000)} for pin, level, at_s in inputs]
        body = given(language=language, device=device, for_ms=round(for_s * 1000), inputs=levels or None, expect=expect)
        return self._act("/v1/programs/try", body | {"source": source}, watch=watch, within_s=within_s)
