"""Examples of each command, shown at the end of its `--help`. A test reads each of them with the real parser."""

from __future__ import annotations

from typing import Any, Final

import click

FROM_GROUP: Final = 3
"""A group's help has so many examples of its commands, where it has none of its own."""

# Without the word `microclaw`, and short: they are not broken on a terminal of 60 columns.
EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "up": ("up", "up --virtual 1", "up --service install"),
    "status": ("status", "status --open", "status --usage --by person"),
    "run": ("run blink.c -d kitchen", "run blink.c --watch", "run blink.c --try --for 5s"),
    "app": ("app list", "app install fade -d kitchen", "app undo"),
    "app search": ("app search light", "app search --show fade --source"),
    "app install": ("app install fade -d kitchen --set pin=7",),
    "app upgrade": ("app upgrade blink blink.c -d kitchen", "app upgrade --dry-run"),
    "app publish": ("app publish lamp.toml --to my-catalog",),
    "approval list": ("approval list", "approval list 4kq7"),
    "memory sessions": ("memory sessions", "memory sessions terminal -n 10"),
    "memory skills": ("memory skills", "memory skills plant-watering"),
    "memory check-skills": ("memory check-skills plant-watering",),
    "task list": ("task list --limit 5", "task list 7", "task list --cancel 7"),
    "task subagents": ("task subagents", "task subagents --cancel 3"),
    "task secrets": ("task secrets", "task secrets weather @key.txt"),
    "task egress": ("task egress", "task egress GET https://api.example.com/v1"),
    "schedule list": ("schedule list", "schedule list 1"),
    "person tokens": ("person tokens", "person tokens --add laptop --days 90"),
    "person signins": ("person signins", "person signins --end all"),
    "person log": ("person log --since 7d", "person log --kind token -f", "person log --verify"),
    "setup": ("setup",),
    "chat": ("chat", 'chat "blink the LED on kitchen"'),
    "exec": ("exec kitchen gpio.set pin=2 level=1", "exec kitchen gpio.get 4", "exec kitchen"),
    "logs": ("logs kitchen -f", "logs kitchen/blink --tail 20", "logs --crashes --since 7d"),
    "flash": ("flash", "flash -p /dev/ttyUSB0 --name kitchen"),
    "fleet apply": ("fleet apply -f fleet.yaml", "fleet apply --dry-run"),
    "fleet export": ("fleet export --out fleet",),
    "virtual": ("virtual --join", "virtual --wasmachine 18080"),
    "demo": ("demo", "demo --once"),
    "doctor": ("doctor", "doctor --report"),
    "approval decide": ("approval decide 4kq7 yes",),
    "device": ("device list", "device show kitchen", "device check kitchen"),
    "device wifi": ('device wifi kitchen "new home"', "device wifi kitchen"),
    "device check": ("device check kitchen", "device check 192.168.1.20:8080"),
    "device discover": ("device discover", "device discover --for 10"),
    "device notify": ('device notify kitchen "tea is ready"',),
    "device list": ("device list", "device list --json"),
    "device show": ("device show kitchen", "device show kitchen temp --plot"),
    "device add": ("device add lab --board esp32-devkitc-v4 --wasmachine 10.0.0.5:8080",),
    "device rename": ("device rename kitchen hall",),
    "device merge": ("device merge kitchen kitchen-2",),
    "device remove": ("device remove kitchen",),
    "device pair": ("device pair 123456 --name kitchen",),
    "device label": ("device label kitchen downstairs lights",),
    "device revoke": ("device revoke kitchen",),
    "device provision": ("device provision kitchen --file kitchen.json",),
    "app build": ("app build blink.c", "app build blink.c -o blink.wasm"),
    "app list": ("app list", "app list -d kitchen"),
    "app show": ("app show blink -d kitchen",),
    "app undo": ("app undo", "app undo 12"),
    "app uninstall": ("app uninstall blink -d kitchen",),
    "app cancel": ("app cancel blink -d kitchen",),
    "app stop": ("app stop blink -d kitchen",),
    "app start": ("app start blink -d kitchen",),
    "app restart": ("app restart blink -d kitchen",),
    "app set": ("app set blink --every 1h -d kitchen",),
    "app changes": ("app changes --limit 5",),
    "firmware": ("firmware list", "firmware update 1.4.0 -d kitchen", "firmware status"),
    "firmware keygen": ("firmware keygen --out fleet.pem",),
    "firmware publish": ("firmware publish --version 1.4.0 \\\n    --board esp32s3 --key fleet.pem",),
    "firmware list": ("firmware list", "firmware list 1.4.0 --json", "firmware list --withdraw 1.4.0"),
    "firmware update": ("firmware update 1.4.0 -d kitchen",),
    "firmware status": ("firmware status",),
    "firmware cancel": ("firmware cancel -d kitchen",),
    "firmware keys": ("firmware keys", "firmware keys --distrust 3f9a0c"),
    "firmware trust": ("firmware trust fleet.pub.pem",),
    "firmware change-keys": (
        "firmware change-keys --add b.pub.pem \\\n    --key a.pem --all",
        "firmware change-keys --remove 3f9a --key b.pem",
    ),
    "firmware rollout": ("firmware rollout 1.4.0 --all",),
    "firmware rollouts": ("firmware rollouts", "firmware rollouts 2 -f", "firmware rollouts 2 --do pause"),
    "memory show": ("memory show", "memory show USER.md"),
    "memory edit": ("memory edit", "memory edit SOUL.md"),
    "memory search": ("memory search relay",),
    "task run": ("task run plot.py --keep plot.png",),
    "task get": ("task get 7", "task get 7 plot.png -o plot.png"),
    "schedule add": ('schedule add "at 7:00" "turn on pin 4"',),
    "schedule run": ("schedule run 1",),
    "schedule pause": ("schedule pause 1",),
    "schedule resume": ("schedule resume 1",),
    "schedule rm": ("schedule rm 1",),
    "person list": ("person list",),
    "person pair": ("person pair 123456 --name ada",),
    "person add": ("person add ada --role member",),
    "person role": ("person role ada guest",),
    "person password": ("person password ada",),
    "person rm": ("person rm ada",),
    "person ca": ("person ca", "person ca host-ca.pem"),
    "mcp": ("mcp install claude-code",),
    "mcp install": ("mcp install claude-code", "mcp install claude-code --remove"),
    "backup make": ("backup make host.age", "backup make --new-key host.key"),
    "backup restore": ("backup restore host.age --list", "backup restore host.age"),
    "backup migrate": (
        "backup migrate --to postgresql://microclaw@db/microclaw --dry-run",
        "backup migrate --back",
    ),
    "voice test": ("voice test", 'voice test "the lamp is on"'),
    "voice trace": ("voice trace -n 5",),
    "voice setup": ("voice setup", "voice setup --fetch base.en"),
    "config get": ("config get", "config get mqtt.url"),
    "config set": ("config set mqtt.url mqtt://192.168.1.5", "config set mqtt.url --default"),
    "config check": ("config check",),
}


def add_examples(name: str, command: Any) -> None:
    """Put the examples at the end of the help of a command, and of those below it."""
    if isinstance(command, click.Group):
        for below, one in command.commands.items():
            add_examples(f"{name} {below}", one)
    if lines := examples_of(name, command):
        title = "Example:" if len(lines) == 1 else "Examples:"
        command.epilog = "\n".join(("\b", title, *(f"  {line}" for text in lines for line in text.splitlines())))


def examples_of(name: str, command: Any) -> list[str]:
    """Whole command lines; a group that has none of its own shows some of its commands'."""
    own = EXAMPLES.get(name, ())
    if not own and isinstance(command, click.Group):
        shown = (examples_of(f"{name} {below}", one) for below, one in command.commands.items() if not one.hidden)
        return [lines[0] for lines in shown if lines][:FROM_GROUP]
    return [f"microclaw {line}" for line in own]
