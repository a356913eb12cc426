"""What a check found, and how `doctor` shows it. It checks nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from click.exceptions import Exit

from microclaw.cli.options import FAILED, GlobalOptions


@dataclass(frozen=True, slots=True)
class Finding:
    """`warns`: it works as somebody wanted it, and is worth a second thought."""

    part: str
    ok: bool
    text: str
    next_step: str | None = None
    warns: bool = False


def report_findings(options: GlobalOptions, schema: str, findings: Sequence[Finding]) -> None:
    """Show them; the command ends with exit code 1 when one is a problem. Warnings alone are 0."""
    healthy = all(finding.ok for finding in findings)
    if options.json:
        rows = [{"part": f.part, "ok": f.ok, "warns": f.warns, "text": f.text, "next": f.next_step} for f in findings]
        options.document(schema, {"ok": healthy, "findings": rows})
    else:
        terminal = options.terminal()
        for finding in findings:
            verdict = "problem" if not finding.ok else "warning" if finding.warns else "ok"
            terminal.row(finding.part, finding.text, right=verdict, bad=not finding.ok)
            if finding.next_step:
                terminal.row("", f"next: {finding.next_step}")
    if not healthy:
        raise Exit(FAILED)


def problem(part: str, text: str, next_step: str) -> Finding:
    return Finding(part, False, text, next_step)


def warning(part: str, text: str, next_step: str) -> Finding:
    return Finding(part, True, text, next_step, warns=True)
