"""Examples at the end of a command's `--help`, where its usage does not say all. A test reads each with the parser."""

from __future__ import annotations

from typing import Any, Final

import click

# Without the word `microclaw`, and short: they are not broken on a terminal of 60 columns.
EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "up": ("up", "up --virtual 1", "up --service install"),
    "status": ("status", "status --open", "status --usage --by person"),
    "flash": ("flash", "flash -p /dev/ttyUSB0 --name kitchen"),
    "device": ("device list", "device show kitchen", "device check kitchen"),
    "device add": ("device add lab --board esp32-devkitc-v4 --wasmachine 10.0.0.5:8080",),
    "device crashes": ("device crashes --since 7d", "device crashes 3"),
    "device telemetry": ("device telemetry kitchen temperature --since 7d",),
    "device wifi": ('device wifi kitchen "new home"', "device wifi kitchen"),
    "exec": ("exec kitchen gpio.set pin=2 level=1", "exec kitchen gpio.get 4", "exec kitchen"),
    "logs": ("logs kitchen -f", "logs kitchen/blink --tail 20"),
    "virtual": ("virtual --join", "virtual --wasmachine 18080"),
    "fleet": ("fleet apply -f fleet.yaml", "fleet apply --dry-run", "fleet export --out fleet"),
    "firmware": ("firmware list", "firmware update 1.4.0 -d kitchen", "firmware status"),
    "firmware change-keys": (
        "firmware change-keys --add b.pub.pem \\\n    --key a.pem --all",
        "firmware change-keys --remove 3f9a --key b.pem",
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
    "backup": ("backup make host.age", "backup restore host.age --list", "backup restore host.age"),
    "backup migrate": (
        "backup migrate --to postgresql://microclaw@db/microclaw --dry-run",
        "backup migrate --back",
    ),
    "person": ("person add ada --role member", "person password ada", "person list"),
    "person log": ("person log --since 7d", "person log --kind token -f", "person log --verify"),
    "person tokens": ("person tokens", "person tokens --add laptop --days 90"),
}


def add_examples(name: str, command: Any) -> None:
    """Put the examples at the end of the help of a command, and of those below it."""
    for below, one in command.commands.items() if isinstance(command, click.Group) else ():
        add_examples(f"{name} {below}", one)
    if lines := EXAMPLES.get(name):
        title = "Example:" if len(lines) == 1 else "Examples:"
        command.epilog = "\n".join(
            ("\b", title, *(f"  {line}" for text in lines for line in f"microclaw {text}".splitlines()))
        )
