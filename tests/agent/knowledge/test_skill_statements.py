"""The words of shipped skills are true: every name in backquotes exists, and the numbers are the code's."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest

import microclaw
from microclaw.agent.knowledge.skills import shipped_skills
from microclaw.devices.transports.pin_calls import MAX_PWM_HZ
from microclaw.errors import ConfigError
from microclaw.hardware.boards.natives import NativeGroup
from microclaw.hardware.boards.reader import load_board
from microclaw.host.config.schema import all_settings, dotted
from microclaw.interfaces.cli.main import load_command
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial_plan import SOAK_MS
from microclaw.programs.wasm.toolchain import STACK_BYTES
from microclaw.virtual.nodes.spi import MAX_TRANSFER_BYTES
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES

SOURCE: Final = Path(microclaw.__path__[0])
HEADERS: Final = SOURCE / "programs/wasm" / "headers"
FIRMWARE: Final = SOURCE.parents[1] / "firmware" / "fw"
PAGES: Final = sorted(shipped_skills().rglob("*.md"))
_CODE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_QUOTED: Final = re.compile(r"`([^`]+)`")
_NAME: Final = re.compile(r"[A-Za-z_][\w-]*")
_TOOL: Final = re.compile(r'(?:[Tt]ool(?:Form)?\(\s*(?:[\w.]+,\s*)?|\btool=)"([a-z0-9-]+)"')
_EXPECTATION: Final = re.compile(r"(?:pin|pwm|led|servo|log|set|when|for|soak|adc|i2c\.\S+) .*\d.*")
OF_LANGUAGES: Final = frozenset(
    """void int static if uint8_t uint16_t bool FILE malloc open read write close lseek usleep sleep main setup loop
    WiFi begin part pin board name expect nodes""".split()  # noqa: SIM905  a list of 30 lines says no more
)
"""Words of C, of sketches, and of the forms that a skill shows."""
OF_MODULES: Final = {"mqtt.publish"}
"""What looks like a setting and is a function of a Python module; the skills' programs call it."""
INVENTED: Final = {"gpio_write", "pwm_write"}
"""Names that a skill warns of: nobody may have them."""


def text_of(paths: Iterator[Path]) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file())


@pytest.fixture(scope="module")
def names() -> frozenset[str]:
    """Return every name that a program, a caller or a person may use, in words of letters, digits, _ and -."""
    headers = text_of(HEADERS.rglob("*"))
    refusals = text_of(iter([SOURCE / "programs/wasm" / "refusals.toml"]))
    python = text_of(iter([*FIRMWARE.glob("*.py"), *(SOURCE / "programs/py").glob("*")]))
    tools = {name for path in SOURCE.rglob("*.py") for name in _TOOL.findall(path.read_text(encoding="utf-8"))}
    files = {part for path in HEADERS.rglob("*.h") for part in _NAME.findall(str(path.relative_to(HEADERS)))}
    written = {name for text in (headers, refusals, python) for name in re.findall(r"[A-Za-z_]\w*", text)}
    skills = {path.parent.name for path in shipped_skills().rglob("SKILL.md")}
    groups = {str(group) for group in NativeGroup}
    nodes = set(load_board("virtual").firmware.device_nodes) | {"spi", "uart", "storage"}
    return (
        frozenset((*tools, *files, *written, *skills, *groups, *nodes, *keyword.kwlist, *OF_LANGUAGES, "heapSize"))
        - INVENTED
    )


def check_command(words: list[str]) -> None:
    """Raise if the command line has no such command or option."""
    command: click.Command = load_command(words[0])
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        command = command.commands[rest.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("-")} <= options


def check(quoted: str, names: frozenset[str], settings: set[str]) -> None:
    """Raise if a text in backquotes is no name, command, setting or expectation."""
    if quoted.startswith("microclaw "):
        check_command(quoted.split()[1:])
    elif _EXPECTATION.fullmatch(quoted):
        parse_expectations(f"pin 2: 1 edges\n{quoted}")  # what is set from outside expects nothing itself
    elif quoted not in settings | OF_MODULES:
        sections = {name.partition(".")[0] for name in settings}
        assert quoted.partition(".")[0] not in sections or "." not in quoted, f"{quoted} is no setting"
        unknown = set(_NAME.findall(quoted)) - names - INVENTED
        assert not unknown, f"{quoted}: nobody knows {', '.join(sorted(unknown))}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.parent.name)
def test_every_name_in_a_skill_exists(page: Path, names: frozenset[str]) -> None:
    text = page.read_text(encoding="utf-8")
    own = frozenset(_NAME.findall("\n".join(_CODE.findall(text))))
    beside = frozenset(_NAME.findall(text_of(iter(page.parent.glob("references/*.md")))))
    settings = {dotted(path) for path, _ in all_settings()}
    for quoted in _QUOTED.findall(_CODE.sub("", text)):
        check(quoted, names | own | beside, settings)


@pytest.mark.parametrize(
    "wrong", ["gpio-toggle-all", "pwm_fade", "microclaw app fly", "mqtt.address", "pin 2: hums at 3 s"]
)
def test_a_name_that_nobody_has_is_found(wrong: str, names: frozenset[str]) -> None:
    with pytest.raises((AssertionError, KeyError, ConfigError)):
        check(wrong, names, {"mqtt.url"})


NUMBERS: Final[tuple[tuple[str, str, Any], ...]] = (
    ("esp32-wasm-native-api", r"1 to (\d+) Hz, duty 0 to 255", MAX_PWM_HZ),
    ("esp32-wasm-native-api", r"at most (\d+) bytes a transfer", MAX_TRANSFER_BYTES),
    ("esp32-wasm-development", r"\*\*Stack\*\*: (\d+) KB", STACK_BYTES // 1024),
    ("esp32-wasm-development", r"`malloc`, (\d+) KB unless", DEFAULT_HEAP_BYTES // 1024),
    ("esp32-wasm-development", r"(\d+) s are added", SOAK_MS / 1000),
    ("esp32-wasm-development", r"Stock firmware holds (\d+) programs", load_board("virtual").firmware.max_apps),
)
SAID_IN: Final = (
    ("esp32-wasm-native-api", r"At most (\d+) urls", HEADERS / "glue" / "requests.c"),
    ("esp32-wasm-native-api", r"at most (\d+) pins", HEADERS / "microclaw.h"),
    ("esp32-wasm-native-api", r"over (\d+) an hour", FIRMWARE / "microclaw.py"),
    ("esp32-wasm-native-api", r"over (\d+) a second", FIRMWARE / "microclaw.py"),
    ("esp32-wasm-native-api", r"or (\d+) wait", FIRMWARE / "microclaw.py"),
    ("esp32-wasm-development", r"at most (\d+) at a time", HEADERS / "microclaw.h"),
)


@pytest.mark.parametrize(("skill", "pattern", "value"), NUMBERS)
def test_a_limit_in_a_skill_is_the_codes(skill: str, pattern: str, value: int) -> None:
    [number] = re.findall(pattern, (shipped_skills() / skill / "SKILL.md").read_text(encoding="utf-8"))
    assert int(number) == value


@pytest.mark.parametrize(("skill", "pattern", "source"), SAID_IN)
def test_a_limit_in_a_skill_stands_in_the_file_that_keeps_it(skill: str, pattern: str, source: Path) -> None:
    [number] = re.findall(pattern, (shipped_skills() / skill / "SKILL.md").read_text(encoding="utf-8"))
    assert re.search(rf"\b{number}\b", source.read_text(encoding="utf-8"))
