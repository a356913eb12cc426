"""Words that people try and that are no command here, each with the command that does it. It runs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from microclaw.cli.main import COMMANDS

_FLASH: Final = "microclaw flash finds the chip and the port itself; of several boards one is chosen with -p PORT"
_LISTS: Final = "microclaw device list shows the boards, microclaw app list the programs"
_BUILD: Final = "microclaw app build FILE; to run it at once: microclaw run FILE -d DEVICE"
_NEWER: Final = "microclaw app upgrade NAME FILE for a program, microclaw firmware update VERSION for boards"
_REMOVE: Final = "microclaw app uninstall NAME for a program, microclaw device remove NAME for a board"
_SIGN_IN: Final = "microclaw status --open for a browser; for another host: --host URL, its token in MICROCLAW_TOKEN"
_ASIDE: Final = "microclaw virtual --join for a virtual board, microclaw run FILE --try for one trial"
_FORMER: Final = {
    "approvals": "approval list",
    "devices": "device list",
    "apps": "app list",
    "people": "person list",
    "crash": "logs --crashes",
    "open": "status --open",
    "cluster": "status --cluster",
    "usage": "status --usage",
    "completion": "--completion bash",
    "restore": "backup restore",
    "migrate": "backup migrate",
    "apply": "fleet apply",
    "diff": "fleet apply --dry-run",
    "fleet diff": "fleet apply --dry-run",
    "export": "fleet export",
    "token": "person tokens",
    "tokens": "person tokens",
    "person add-token": "person tokens --add NAME",
    "person rm-token": "person tokens --rm NAME",
    "signin": "person signins",
    "signins": "person signins",
    "person end-signin": "person signins --end ID",
    "ca": "person ca",
    "audit": "person log",
    "discover": "device discover",
    "notify": "device notify",
    "repl": "exec DEVICE",
    "egress": "task egress",
    "secret": "task secrets",
    "subagent": "task subagents",
    "task show": "task list NUMBER",
    "task cancel": "task list --cancel NUMBER",
    "firmware rollout-change": "firmware rollouts NUMBER --do pause",
    "firmware withdraw": "firmware list --withdraw VERSION",
    "firmware distrust": "firmware keys --distrust KEY",
    "rollout": "firmware rollouts",
    "session": "memory sessions",
    "skill": "memory skills",
    "catalog": "app search",
    "service": "up --service install",
    "approval show": "approval list ID",
    "schedule show": "schedule list NUMBER",
}
_MEANT: Final = {
    **{word: f"microclaw {now}" for word, now in _FORMER.items()},
    **dict.fromkeys(("esp32", "esp32s2", "esp32s3", "esp32c3", "esp32c6", "esp32-s3", "esp32-c3", "esp32-c6"), _FLASH),
    **dict.fromkeys(("list", "ls", "ps", "boards", "programs"), _LISTS),
    **dict.fromkeys(("build", "compile", "make"), _BUILD),
    **dict.fromkeys(("update", "upgrade"), _NEWER),
    **dict.fromkeys(("remove", "rm", "delete", "uninstall"), _REMOVE),
    **dict.fromkeys(("login", "auth"), _SIGN_IN),
    **dict.fromkeys(("simulate", "emulate", "simulator"), _ASIDE),
    **dict.fromkeys(("monitor", "log", "tail", "console", "serial"), "microclaw logs DEVICE -f"),
    **dict.fromkeys(("upload", "deploy"), "microclaw run FILE -d DEVICE"),
    **dict.fromkeys(("serve", "server", "daemon", "host"), "microclaw up; at each login: up --service install"),
    **dict.fromkeys(("init", "configure", "onboard", "key"), "microclaw setup"),
    **dict.fromkeys(("web", "ui", "dashboard", "page"), "microclaw status --open"),
    **dict.fromkeys(("user", "users"), "microclaw person list"),
    "version": "microclaw --version",
    "help": "microclaw --help",
    "install": "microclaw run FILE -d DEVICE for your program, microclaw app install NAME for a ready one",
    "start": "microclaw up starts the host, microclaw app start NAME a program",
    "stop": "microclaw app stop NAME stops a program; the host ends with Ctrl-C where it runs",
    "restart": "microclaw app restart NAME for a program; the host: Ctrl-C where it runs, then microclaw up",
    "undo": "microclaw app undo",
    "scan": "microclaw device discover",
    "wifi": "microclaw device wifi DEVICE SSID",
    "ping": "microclaw device check DEVICE",
    "pair": "microclaw device pair CODE for a board, microclaw person pair CODE for a person",
    "ask": 'microclaw chat "MESSAGE"',
    "shell": "microclaw exec DEVICE",
    **dict.fromkeys(("test", "try"), "microclaw run FILE --try"),
    "watch": "microclaw run FILE --watch",
}


def meant_by(word: str, command: str) -> str | None:
    """The command to use instead of `command word`; None for a word that says nothing."""
    said = word.casefold()
    if (meant := _MEANT.get(f"{command} {said}".removeprefix("microclaw "))) is not None or command == "microclaw":
        return meant
    if command == "microclaw backup" and Path(word).suffix:
        return f"microclaw backup make {word}"
    return f"microclaw {said} --help" if said in COMMANDS else None
