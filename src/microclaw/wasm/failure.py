"""What to say when a compiler, a linker or the pass did not succeed; it runs nothing."""

from __future__ import annotations

from typing import Final

from microclaw.errors import BuildError, Diagnostic
from microclaw.wasm.process import Finished
from microclaw.wasm.source_text import SourceText

_SIMPLER: Final = "make the program simpler and its arrays smaller"


def build_failure(finished: Finished, diagnostics: tuple[Diagnostic, ...], text: SourceText, stage: str) -> BuildError:
    """The error of a process that failed; it may have been stopped without a word."""
    if finished.timed_out or (finished.returncode < 0 and not finished.said_enough):
        why = (
            f"after {finished.took_ms / 1e3:.0f} s" if finished.timed_out else "because it took too much memory or disk"
        )
        stopped = Diagnostic("error", f"the compiler was stopped {why}", text.file, hint=_SIMPLER)
        return BuildError((stopped, *diagnostics), stage=stage)
    if "PLEASE submit a bug report" in finished.output or "diagnostic msg:" in finished.output:
        broke = Diagnostic("error", "the compiler itself broke down on this program", text.file, hint=_SIMPLER)
        return BuildError((broke, *diagnostics), stage=stage)
    if not any(d.severity == "error" for d in diagnostics):
        lines = [line for line in finished.output.splitlines() if line][-3:]
        said = "; ".join(lines) or f"it ended with code {finished.returncode}"
        diagnostics = (Diagnostic("error", f"the compiler failed: {said}", text.file), *diagnostics)
    return BuildError(diagnostics, stage=stage)
