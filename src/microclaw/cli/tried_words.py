"""Words that people try and that are no command here, each with the command that does it. It runs nothing."""

from __future__ import annotations

from typing import Final

from microclaw.cli.examples import EXAMPLES
from microclaw.cli.main import COMMANDS

# By command; a word that is a command of some group leads there by itself.
_INSTEAD: Final = {
    "flash": "esp32 esp32s2 esp32s3 esp32c3 esp32c6 esp32-s3 esp32-c3 esp32-c6",
    "device list, microclaw app list": "ls ps list boards programs",
    "app build FILE, microclaw run FILE -d DEVICE": "compile make",
    "run FILE -d DEVICE, microclaw app install NAME": "upload deploy install",
    "run FILE --try, microclaw virtual --join": "test try simulate emulate simulator",
    "run FILE --watch": "watch",
    "app uninstall NAME, microclaw device remove NAME": "delete rm",
    "app upgrade NAME FILE, microclaw firmware update VERSION": "update",
    "app search": "catalog",
    "logs DEVICE -f": "monitor log tail console serial",
    "logs --crashes": "crash crashes",
    "exec DEVICE": "shell repl",
    "device discover": "scan",
    "device check DEVICE": "ping",
    'chat "MESSAGE"': "ask",
    "setup": "init configure onboard key",
    "up, at each login: microclaw up --service install": "serve server daemon host service",
    "fleet apply --dry-run": "diff plan",
    "status --open": "web ui dashboard page open login auth",
    "status --cluster": "cluster",
    "status --usage": "usage",
    "person list": "user users people",
    "person log": "audit",
    "--completion bash": "completion",
    "--version": "version",
    "--help": "help",
}
MEANT: Final = {word: f"microclaw {command}" for command, words in _INSTEAD.items() for word in words.split()}


def meant_by(word: str, command: str) -> str | None:
    """The command to use instead of `command word`; None for a word that says nothing."""
    said = word.casefold()
    if command == "microclaw" and said in MEANT:
        return MEANT[said]
    same = {said, f"{said}s", said.removesuffix("s")}
    if groups := same & COMMANDS.keys():
        return f"microclaw {min(groups)} --help"
    paths = [path for path in EXAMPLES if path.split()[-1] in same] if command == "microclaw" else []
    return ", ".join(f"microclaw {path}" for path in paths) or None
