"""The `microclaw` command: the table of commands, which are imported when they are called, and the global options."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
from click.exceptions import Exit

from microclaw import __version__
from microclaw.host.operations.operation_modules import MODULES, SERVING_ROOMS, is_served

if TYPE_CHECKING:
    from microclaw.interfaces.cli.options import GlobalOptions, HostLoader

# A command of declared acts only needs no module here.
DECLARED: Final = ""
# The commands by section of `microclaw --help`: the module and attribute of each, and its help.
SECTIONS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Start": {
        "demo": ("demo:demo", "See it work on a virtual board."),
        "setup": ("setup_commands:setup", "Set up models, Telegram and search."),
        "up": ("host_commands:up", "Run the host in the foreground; Ctrl-C stops it."),
        "status": ("host_commands:status", "Show the host's state: model, devices, programs."),
        "doctor": ("doctor:doctor", "Check what microclaw needs here."),
    },
    "Boards": {
        "flash": ("flash_command:flash", "Put our firmware on a board, pair it, give it Wi-Fi."),
        "device": ("device_commands:device_group", "The devices of this host."),
        "press": ("hand_commands:press", "Press a button of a virtual board."),
        "exec": ("call_commands:execute", "Call one method of a device, or of several."),
        "logs": ("call_commands:logs", "Show what a device's programs print."),
        "virtual": ("virtual_command:virtual", "Run a virtual ESP32-S3; Ctrl-C ends it."),
        "fleet": ("fleet_commands:fleet_group", "What runs on many devices, as a file: apply, export."),
        "firmware": ("firmware_commands:firmware_group", "Signed updates of boards: keys, releases, offers, rollouts."),
    },
    "Programs": {
        "new": ("new_command:new", "Make a folder with a program, its wiring, its expectations and a README."),
        "run": ("programs:run", "Build, check, try, install and verify a program."),
        "app": ("programs:app_group", "Programs: yours and ready ones; list, change, undo."),
        "task": ("task_commands:task_group", "Code in the sandbox, its secrets and network; subagents."),
        "schedule": (DECLARED, "Schedules, at times of day."),
    },
    "Talk": {
        "chat": ("chat_commands:chat", "Talk to the agent."),
        "approval": (DECLARED, "Pending approvals."),
        "memory": ("chat_commands:memory_group", "What the agent remembers: notes, conversations, skills."),
        "voice": (DECLARED, "Speech with devices: test, trace, models."),
        "mcp": ("host_commands:mcp", "Drive the boards from an assistant over MCP."),
    },
    "Host": {
        "config": ("config_commands:config_group", "The host's settings."),
        "backup": ("backup_commands:backup_group", "All of this host as one encrypted file, and back."),
        "person": ("sign_in_commands:person_group", "People, tokens, browsers, and the security log."),
    },
}
COMMANDS: Final[dict[str, tuple[str, str]]] = {}
for _section in SECTIONS.values():
    COMMANDS.update(_section)
_EXAMPLES: Final = (
    ("microclaw demo", "one sentence becomes a program"),
    ("microclaw up --virtual 1", "a host with a virtual board"),
    ('microclaw chat "blink the LED"', "in another terminal"),
    ("microclaw run blink.c -d kitchen", "your own program"),
    ("microclaw app undo", "revert the last change"),
)

# These commands are about the machine they run on, so they are refused if --host names another host.
_ONLY_HERE: Final = frozenset({"backup", "config", "demo", "mcp", "setup", "up"})
_COMPLETE_VARIABLE: Final = "_MICROCLAW_COMPLETE"


class CommandLine(NamedTuple):
    """The words of a command line, and the import of the host for `up`."""

    words: tuple[str, ...] = ()
    load_host: HostLoader | None = None


class LazyGroup(click.Group):
    """A group of the table's commands, of which only the help is loaded until one is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.rooms: Collection[str] = SERVING_ROOMS
        for name, (_, about) in COMMANDS.items():
            self.commands[name] = click.Command(name, help=about)

    def leave_out_others(self, rooms: Collection[str]) -> None:
        """Keep only the commands that a host with these rooms serves."""
        self.rooms = rooms
        for name in COMMANDS:
            if not is_served(name, rooms):
                self.commands.pop(name, None)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  the parser gives it
        # One width, so that the columns of all sections are aligned.
        width = max(map(len, self.commands))
        for title, section in SECTIONS.items():
            rows = [(f"{name:<{width}}", about) for name, (_, about) in section.items() if name in self.commands]
            with formatter.section(title):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  the parser gives it
        with formatter.section("Examples"):
            formatter.write_dl(_EXAMPLES, col_max=40)
        formatter.write_paragraph()
        formatter.write_text("More of a command, with examples: microclaw COMMAND --help")

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = load_command(name, self.rooms)
        return name, command, rest


def load_command(name: str, rooms: Collection[str] = SERVING_ROOMS) -> click.Command:
    """Import a command of the table, and add the commands of declared acts and the examples."""
    location, about = COMMANDS[name]
    module, _, attribute = location.partition(":")
    command: Any = None
    if module:
        command = getattr(import_module(f"microclaw.interfaces.cli.{module}"), attribute)
    if name in MODULES:
        command = import_module("microclaw.interfaces.cli.operation_commands").group(name, command, rooms)
    command.name = name
    if isinstance(command, click.Group):
        command.help = about
    add_examples(name, command)
    return command  # type: ignore[no-any-return]  # it is imported by its name


@click.group(
    "microclaw",
    cls=LazyGroup,
    help="A sentence becomes a checked program that runs on the board.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option("--json", is_flag=True, help="Print one JSON document.")
@click.option("-d", "--device", "devices", multiple=True, metavar="NAME", help="The device to act on; again for more.")
@click.option("-l", "--label", "labels", multiple=True, metavar="LABEL", help="The devices with this label.")
@click.option("--all", "every", is_flag=True, help="All devices.")
@click.option("--home", type=Path, metavar="DIR", help="The host's data folder.")
@click.option("--host", metavar="URL", help="A host elsewhere, by https, with the token in MICROCLAW_TOKEN.")
@click.option("-q", "--quiet", is_flag=True, help="Print answers only.")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks and more lines.")
@click.option("-y", "--yes", is_flag=True, help="Answer yes to all questions.")
@click.version_option(__version__, message="microclaw %(version)s", help="Show the version and end.")
@click.pass_context
def app(ctx: click.Context, /, host: str | None, **given: Any) -> None:
    # Imported here, so that `--help`, which does not get here, is quick.
    from microclaw.errors import ConfigError
    from microclaw.interfaces.cli.options import GlobalOptions

    try:
        Path.home()
    except RuntimeError as exc:
        text = f"HOME is not set, and user id {os.getuid()} has no name here"
        raise ConfigError(text, next_step="HOME=/FOLDER microclaw ..., a folder of this user id") from exc
    line: CommandLine = ctx.obj or CommandLine()
    ctx.obj = GlobalOptions(host_url=host, load_host=line.load_host, **given)
    if host == "local":
        # Child processes inherit the environment, and must use this machine's host, too.
        os.environ.pop("MICROCLAW_HOST", None)
    asks_help = "--help" in line.words or "-h" in line.words
    if ctx.invoked_subcommand in _ONLY_HERE and not asks_help:
        ctx.obj.only_here(f"microclaw {ctx.invoked_subcommand}")


def main(
    arguments: list[str] | None = None,
    *,
    rooms: Collection[str] = SERVING_ROOMS,
    load_host: HostLoader | None = None,
) -> int:
    """Run one command line and return its exit code; the entry point passes it to sys.exit.

    `rooms` are the rooms of a host. The commands of others are left out. `up` needs `load_host`.
    """
    app.leave_out_others(rooms)
    _mend_streams()
    words = hoist_globals(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(CommandLine(tuple(words), load_host))
    except (Exception, SystemExit, KeyboardInterrupt) as exc:
        # Imported here, because only a command line that fails needs it.
        from microclaw.interfaces.cli.reporting import exit_code_for

        return exit_code_for(exc, _options_for_errors(words), words)


def _options_for_errors(words: list[str]) -> GlobalOptions:
    """Return the options that change how an error is shown, even if the command line could not be parsed."""
    from microclaw.interfaces.cli.options import GlobalOptions

    params = app.make_context("microclaw", list(words), resilient_parsing=True).params
    return GlobalOptions(params["json"], home=params["home"], verbose=params["verbose"], host_url=params["host"])


def _run(line: CommandLine) -> int:
    if _COMPLETE_VARIABLE in os.environ:
        # The shell asks for completions: this prints them and ends the process.
        app.main(line.words, "microclaw", _COMPLETE_VARIABLE)
    try:
        with app.make_context("microclaw", list(line.words), obj=line) as ctx:
            code = app.invoke(ctx)
    except Exit as exc:
        code = exc.exit_code
    sys.stdout.flush()
    if code == 130:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def hoist_globals(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the global options moved in front of the command; `--` ends the options.

    So global options may stand anywhere on the line.
    """
    options = _global_options()
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        option = options.get(word.partition("=")[0])
        # `config get` has an --all of its own.
        is_config_all = word == "--all" and rest[:1] == ["config"]
        if word == "--":
            rest += [word, *words]
        elif option is None or is_config_all:
            rest.append(word)
        elif option.is_flag or "=" in word:
            front.append(word)
        else:
            value = next(words, None)
            if value is None:
                rest.append(word)
            else:
                front += [word, value]
    return front + rest


def _global_options() -> dict[str, click.Option]:
    """Return the global options by their words. --version is not one of them: it exposes no value."""
    options: dict[str, click.Option] = {}
    for param in app.params:
        if isinstance(param, click.Option) and param.expose_value:
            for word in param.opts:
                options[word] = param
    return options


def _mend_streams() -> None:
    """Replace closed streams by the null device, and write "?" for letters that the locale does not have.

    Python has no stream object if the caller closed it (`<&-`), and a letter without an encoding would end the command.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


# Each is shown behind the word `microclaw`; short, so that a terminal of 60 columns does not break it.
EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "up": ("up", "up --virtual 1", "up --service install"),
    "status": ("status", "status --open", "status --usage --by person"),
    "flash": ("flash", "flash -p /dev/ttyUSB0 --name kitchen"),
    "device": ("device list", "device show kitchen", "device check kitchen"),
    "device add": ("device add lab --board esp32-devkitc-v4 --wasmachine 10.0.0.5:8080",),
    "device crashes": ("device crashes --since 7d", "device crashes 3"),
    "device record": ("device record kitchen --for 20s",),
    "device set": ("device set kitchen pot1 70%", "device set kitchen dht1 temperature=25"),
    "device do": ("device do kitchen enc1 turn -- -3",),
    "device telemetry": ("device telemetry kitchen temperature --since 7d",),
    "device wifi": ('device wifi kitchen "new home"', "device wifi kitchen"),
    "press": ("press btn1", "press btn1 --on kitchen --for 2s", "press keypad1 5"),
    "exec": ("exec kitchen gpio.set pin=2 level=1", "exec kitchen gpio.get 4"),
    "logs": ("logs kitchen -f", "logs kitchen/blink --tail 20"),
    "virtual": ("virtual --join", "virtual --wasmachine 18080"),
    "fleet": ("fleet apply -f fleet.yaml", "fleet apply --dry-run", "fleet export --out fleet"),
    "firmware": ("firmware list", "firmware update 1.4.0 -d kitchen", "firmware status"),
    "firmware change-keys": (
        "firmware change-keys --add b.pub.pem \\\n    --key a.pem --all",
        "firmware change-keys --remove 3f9a5c02d41b77e6 --key b.pem",
    ),
    "firmware publish": ("firmware publish --version 1.4.0 \\\n    --board esp32s3 --key fleet.pem",),
    "firmware rollouts": ("firmware rollouts", "firmware rollouts 2 -f", "firmware rollouts 2 --do pause"),
    "run": ("run blink.c -d kitchen", "run blink.c --watch", "run blink.c --try --for 5s"),
    "app": ("app list", "app install fade -d kitchen", "app undo"),
    "app install": ("app install fade -d kitchen --set pin=7",),
    "app search": ("app search light", "app search --show fade --source"),
    "app set": ("app set blink --every 1h -d kitchen",),
    "task": ("task run sum.py --keep sum.txt", "task list", "task get 7 sum.txt"),
    "task secrets": ("task secrets", "task secrets weather @key.txt"),
    "schedule": ('schedule add "at 7:00" "turn on pin 4"', "schedule list", "schedule rm 1"),
    "chat": ("chat", 'chat "blink the LED on kitchen"'),
    "approval": ("approval list", "approval decide 4kq7 yes"),
    "memory": ("memory show", "memory edit", "memory search relay"),
    "memory sessions": ("memory sessions", "memory sessions terminal -n 10"),
    "voice": ('voice test "the lamp is on"', "voice fetch base.en"),
    "mcp": ("mcp --all-tools",),
    "config": ("config get", "config set mqtt.url mqtt://192.168.1.5", "config set mqtt.url --default"),
    "backup": (
        "backup make --new-key host.key",
        "backup make host.age --recipient age1...",
        "backup restore host.age --identity host.key",
    ),
    "backup migrate": ("backup migrate --to postgresql://microclaw@db/microclaw --dry-run", "backup migrate --back"),
    "person": ("person add ada --role member", "person password ada", "person list"),
    "person log": ("person log --since 7d", "person log --kind token -f", "person log --verify"),
    "person tokens": ("person tokens", "person tokens --add laptop --days 90"),
}


def add_examples(name: str, command: Any) -> None:
    """Add the examples to the end of the help of a command and of its subcommands."""
    if isinstance(command, click.Group):
        for subname, subcommand in command.commands.items():
            add_examples(f"{name} {subname}", subcommand)
    examples = EXAMPLES.get(name)
    if not examples:
        return
    # A line with \b makes click keep the line ends of the paragraph.
    lines = ["\b", "Example:" if len(examples) == 1 else "Examples:"]
    for example in examples:
        lines += [f"  {line}" for line in f"microclaw {example}".splitlines()]
    command.epilog = "\n".join(lines)
