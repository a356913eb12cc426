"""`microclaw demo`, `doctor`, `bench` and `completion`: see it work, look what is wrong, measure, complete words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microclaw.cli.invocation import invocation

SHELLS = ("bash", "zsh", "fish")
_COMPLETE_VARIABLE = "_MICROCLAW_COMPLETE"


def register(app: typer.Typer) -> None:
    app.command()(demo)
    app.command()(doctor)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(bench)
    app.command()(completion)


def demo(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="No questions; the exit code says whether it worked.")] = False,
) -> None:
    """One sentence becomes a program on a virtual board that goes on without the host."""
    from microclaw.cli.demo import run_demo

    raise typer.Exit(run_demo(invocation(ctx), once=once))


def doctor(ctx: typer.Context) -> None:
    """Check what microclaw needs here; each problem with its next step."""
    from microclaw.cli.doctor import examine

    options = invocation(ctx)
    findings = examine(options)
    healthy = all(finding.ok for finding in findings)
    if options.json:
        rows = [{"part": f.part, "ok": f.ok, "text": f.text, "next": f.next_step} for f in findings]
        options.document("doctor", {"ok": healthy, "findings": rows})
    else:
        terminal = options.terminal()
        for finding in findings:
            terminal.row(finding.part, finding.text, right="ok" if finding.ok else "problem", bad=not finding.ok)
            if finding.next_step:
                terminal.row("", f"next: {finding.next_step}")
    if not healthy:
        raise typer.Exit(1)


def bench(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="wasm, agent, store, virtual, ...; none: all.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when a goal is missed.")] = False,
) -> None:
    """Measure, in a source checkout."""
    import subprocess
    import sys

    from microclaw.errors import ConfigError

    options = invocation(ctx)
    root = Path(__file__).resolve().parents[3]
    if not (root / "bench" / "__main__.py").is_file():
        raise ConfigError("the benchmarks are in the source checkout only", next_step="git clone it, then make bench")
    words = [
        *([name] if name else []),
        *(["--json"] if options.json else []),
        *(["--check"] if check else []),
        *ctx.args,
    ]
    done = subprocess.run([sys.executable, "-m", "bench", *words], cwd=root, check=False)
    raise typer.Exit(done.returncode)


def completion(
    shell: Annotated[str, typer.Argument(help=f"{', '.join(SHELLS)}.")] = "bash",
) -> None:
    """Print the completion script of a shell: eval "$(microclaw completion bash)"."""
    from typer import completion as shells

    if shell not in SHELLS:
        raise typer.BadParameter(f"{shell!r} is not one of {', '.join(SHELLS)}", param_hint="SHELL")
    script = shells.get_completion_script(  # type: ignore[attr-defined]  # typer re-exports it without saying so
        prog_name="microclaw", complete_var=_COMPLETE_VARIABLE, shell=shell
    )
    typer.echo(script)


def prepare_completion() -> None:
    """Teach the option parser the shells' questions; only needed when a shell asks."""
    from typer import completion as shells

    shells.completion_init()  # type: ignore[attr-defined]  # typer re-exports it without saying so
