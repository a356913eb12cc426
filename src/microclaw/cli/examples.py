"""Examples of each command, shown at the end of its `--help`. A test reads each of them with the real parser."""

from __future__ import annotations

from typing import Any, Final

from typer.core import TyperGroup

FROM_GROUP: Final = 3
"""A group's help has so many examples of its commands, where it has none of its own."""

# Without the word `microclaw`, and short: they are not broken on a terminal of 60 columns.
EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "setup": ("setup", "setup --lan --service"),
    "up": ("up", "up --virtual 1", "up --database postgresql://microclaw@db/microclaw"),
    "status": ("status", "status --open", "status --cluster"),
    "chat": ("chat", 'chat "blink the LED on kitchen"'),
    "exec": ("exec kitchen gpio.set pin=2 level=1", "exec kitchen gpio.get 4", "exec kitchen"),
    "logs": ("logs kitchen -f", "logs kitchen/blink --tail 20", "logs --crashes --since 7d"),
    "flash": ("flash", "flash -p /dev/ttyUSB0 --name kitchen"),
    "run": ("run blink.c -d kitchen", "run blink.py -d kitchen --stop-after 10m"),
    "fleet apply": ("fleet apply -f fleet.yaml",),
    "fleet diff": ("fleet diff -f fleet.yaml",),
    "fleet export": ("fleet export --out fleet",),
    "watch": ("watch blink.c -d kitchen",),
    "try": ("try blink.c --for 5s", "try button.c --set 4=1@2s"),
    "usage": ("usage", "usage --by person --days 7"),
    "virtual": ("virtual --join", "virtual --wasmachine 18080"),
    "demo": ("demo", "demo --once"),
    "doctor": ("doctor", "doctor --report"),
    "completion": ('eval "$(microclaw completion bash)"', "microclaw completion fish | source"),
    "service install": ("service install",),
    "service uninstall": ("service uninstall",),
    "service status": ("service status",),
    "approval list": ("approval list",),
    "approval show": ("approval show 4kq7",),
    "approval decide": ("approval decide 4kq7 yes",),
    "device": ("device list", "device show kitchen", "device check kitchen"),
    "device wifi": ('device wifi kitchen "new home"', "device wifi kitchen"),
    "device check": ("device check kitchen", "device check 192.168.1.20:8080"),
    "device discover": ("device discover", "device discover --for 10"),
    "device notify": ('device notify kitchen "tea is ready"',),
    "device list": ("device list", "device list --json"),
    "device show": ("device show kitchen", "device show kitchen temp --plot"),
    "device add": ("device add hall --xiaozhi", "device add lab --wasmachine 10.0.0.5:8080"),
    "device explore": ("device explore kitchen",),
    "device rename": ("device rename kitchen hall",),
    "device merge": ("device merge kitchen kitchen-2",),
    "device remove": ("device remove kitchen",),
    "device pair": ("device pair 123456 --name kitchen",),
    "device label": ("device label kitchen downstairs lights",),
    "device revoke": ("device revoke kitchen",),
    "device provision": ("device provision kitchen --file kitchen.json",),
    "app": ("app list", "app install blink.c -d kitchen", "app undo"),
    "app build": ("app build blink.c", "app build blink.c -o blink.wasm"),
    "app install": ("app install blink.c -d kitchen",),
    "app list": ("app list", "app list -d kitchen"),
    "app show": ("app show blink -d kitchen",),
    "app undo": ("app undo", "app undo 12"),
    "app uninstall": ("app uninstall blink -d kitchen",),
    "app cancel": ("app cancel blink -d kitchen",),
    "app stop": ("app stop blink -d kitchen",),
    "app start": ("app start blink -d kitchen",),
    "app restart": ("app restart blink -d kitchen",),
    "app upgrade": ("app upgrade blink blink.c -d kitchen",),
    "app set": ("app set blink --every 1h -d kitchen",),
    "app changes": ("app changes --limit 5",),
    "app tries": ("app tries",),
    "catalog search": ("catalog search light",),
    "catalog show": ("catalog show fade", "catalog show fade --source"),
    "catalog install": ("catalog install fade -d kitchen --set pin=7",),
    "catalog upgrade": ("catalog upgrade fade -d kitchen",),
    "catalog publish": ("catalog publish lamp --to my-catalog",),
    "firmware": ("firmware list", "firmware update 1.4.0 -d kitchen", "firmware status"),
    "firmware keygen": ("firmware keygen --out fleet.pem",),
    "firmware publish": ("firmware publish --version 1.4.0 \\\n    --board esp32s3 --key fleet.pem",),
    "firmware list": ("firmware list", "firmware list 1.4.0 --verify"),
    "firmware withdraw": ("firmware withdraw 1.4.0",),
    "firmware update": ("firmware update 1.4.0 -d kitchen",),
    "firmware status": ("firmware status",),
    "firmware cancel": ("firmware cancel -d kitchen",),
    "firmware keys": ("firmware keys",),
    "firmware trust": ("firmware trust fleet.pub.pem",),
    "firmware distrust": ("firmware distrust 3f9a0c",),
    "firmware change-keys": (
        "firmware change-keys --add b.pub.pem \\\n    --key a.pem --all",
        "firmware change-keys --remove 3f9a --key b.pem",
    ),
    "firmware rollout": ("firmware rollout 1.4.0 --all --outdated",),
    "firmware rollouts": ("firmware rollouts", "firmware rollouts 2 -f"),
    "firmware rollout-change": ("firmware rollout-change 2 pause",),
    "memory show": ("memory show", "memory show USER.md"),
    "memory edit": ("memory edit", "memory edit SOUL.md"),
    "memory search": ("memory search relay",),
    "session list": ("session list",),
    "session show": ("session show terminal -n 10",),
    "session rm": ("session rm terminal",),
    "skill list": ("skill list",),
    "skill show": ("skill show plant-watering",),
    "skill check": ("skill check plant-watering",),
    "task run": ("task run plot.py --keep plot.png",),
    "task list": ("task list --limit 5",),
    "task show": ("task show 7",),
    "task cancel": ("task cancel 7",),
    "task get": ("task get 7", "task get 7 plot.png -o plot.png"),
    "schedule list": ("schedule list",),
    "schedule add": ('schedule add "at 7:00" "turn on pin 4"',),
    "schedule show": ("schedule show 1",),
    "schedule run": ("schedule run 1",),
    "schedule pause": ("schedule pause 1",),
    "schedule resume": ("schedule resume 1",),
    "schedule rm": ("schedule rm 1",),
    "subagent list": ("subagent list",),
    "subagent cancel": ("subagent cancel 3",),
    "person list": ("person list",),
    "person pair": ("person pair 123456 --name ada",),
    "person add": ("person add ada --role member",),
    "person role": ("person role ada guest",),
    "person password": ("person password ada",),
    "person rm": ("person rm ada",),
    "person tokens": ("person tokens",),
    "person add-token": ("person add-token laptop --days 90",),
    "person rm-token": ("person rm-token laptop",),
    "person signins": ("person signins",),
    "person end-signin": ("person end-signin all",),
    "person ca": ("person ca", "person ca host-ca.pem"),
    "mcp": ("mcp install claude-code", "mcp --http 127.0.0.1:8765"),
    "mcp install": ("mcp install claude-code", "mcp install claude-code --remove"),
    "backup make": ("backup make host.age", "backup make --new-key host.key"),
    "backup restore": ("backup restore host.age --list", "backup restore host.age"),
    "backup migrate": (
        "backup migrate --to postgresql://microclaw@db/microclaw --dry-run",
        "backup migrate --back",
    ),
    "audit": ("audit --since 7d", "audit --kind token -f", "audit verify"),
    "secret egress": ("secret egress", "secret egress GET https://api.example.com/v1"),
    "secret set": ("secret set weather @key.txt",),
    "secret list": ("secret list",),
    "secret rm": ("secret rm weather",),
    "voice test": ("voice test", 'voice test "the lamp is on"'),
    "voice trace": ("voice trace -n 5",),
    "voice setup": ("voice setup", "voice setup --fetch base.en"),
    "config get": ("config get", "config get mqtt.url"),
    "config set": ("config set mqtt.url mqtt://192.168.1.5", "config set mqtt.url --default"),
    "config check": ("config check",),
}


def add_examples(name: str, command: Any) -> None:
    """Put the examples at the end of the help of a command, and of those below it."""
    if isinstance(command, TyperGroup):
        for below, one in command.commands.items():
            add_examples(f"{name} {below}", one)
    if lines := examples_of(name, command):
        title = "Example:" if len(lines) == 1 else "Examples:"
        command.epilog = "\n".join(("\b", title, *(f"  {line}" for text in lines for line in text.splitlines())))


def examples_of(name: str, command: Any) -> list[str]:
    """Whole command lines; a group that has none of its own shows some of its commands'."""
    own = EXAMPLES.get(name, ())
    if not own and isinstance(command, TyperGroup):
        shown = (examples_of(f"{name} {below}", one) for below, one in command.commands.items() if not one.hidden)
        return [lines[0] for lines in shown if lines][:FROM_GROUP]
    return [line if "microclaw " in line else f"microclaw {line}" for line in own]
