"""A person's description of a firmware: its words, what it makes of a profile, what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from microclaw.boards.firmware import (
    FirmwareDescription,
    NameChange,
    firmware_help,
    firmware_object,
    for_trial,
    parse_firmware,
    words_of_toml,
)
from microclaw.boards.profile import Firmware
from microclaw.boards.reader import load_board
from microclaw.errors import ConfigError

STOCK = load_board("virtual")


def test_words_make_of_the_profile_what_they_say() -> None:
    def firmware(*words: str) -> Firmware:
        return parse_firmware(words).applied(STOCK).firmware

    assert parse_firmware([]).applied(STOCK) is STOCK
    assert parse_firmware(["stock"]) == FirmwareDescription()
    assert firmware("nodes=-i2c,+uart").device_nodes == {"gpio", "ledc", "uart"}
    assert firmware("nodes=gpio").device_nodes == {"gpio"}
    assert firmware("nodes=none").device_nodes == set()
    plain = firmware("plain", "nodes=+gpio")
    assert plain.native_groups == {"libc_builtin", "app_framework"}
    assert plain.device_nodes == {"gpio"}
    assert not plain.has_files
    limits = ("max_apps=2", "heap=4k", "memory=64 KB", "image=20000", "timers=5", "files=no", "attributes=old")
    lesser = firmware(*limits)
    assert (lesser.max_apps, lesser.max_heap_bytes, lesser.max_memory_bytes) == (2, 4096, 65536)
    assert (lesser.max_module_bytes, lesser.max_timers, lesser.has_files) == (20000, 5, False)
    assert lesser.attribute_generation == "old"


@pytest.mark.parametrize(
    ("word", "has", "lacks"),
    [
        (  # singly and by group
            "natives=-usleep,-libm,+mqtt,+pthread_self",
            [("sleep", "libc_ext"), ("wasm_mqtt_init", "mqtt"), ("pthread_self", "pthread")],
            [("usleep", "libc_ext"), ("sinf", "libm"), ("pthread_create", "pthread")],
        ),
        (  # a list is all there is
            "natives=libc_builtin,usleep",
            [("printf", "libc_builtin"), ("usleep", "libc_ext")],
            [("open", "libc_ext"), ("wasm_create_timer", "app_framework")],
        ),
    ],
)
def test_natives_are_named(word: str, has: list[tuple[str, str]], lacks: list[tuple[str, str]]) -> None:
    firmware = parse_firmware([word]).applied(STOCK).firmware
    assert [native for native in has + lacks if firmware.has_native(*native)] == has


@pytest.mark.parametrize(
    "words",
    [
        ("plain", "nodes=-i2c", "natives=+mqtt,-usleep", "max_apps=2", "files=no", "attributes=old"),
        ("nodes=gpio,ledc,+uart", "heap=4096"),
        ("nodes=none",),
        (),
    ],
)
def test_words_are_read_back_as_they_were(words: tuple[str, ...]) -> None:
    described = parse_firmware(words)
    assert parse_firmware(described.words) == described
    assert set(described.words) == set(words)


@pytest.mark.parametrize(
    "words",
    [
        *[[word] for word in ("nodse=-i2c", "nodes=", "nodes=+i2c,-i2c", "max_apps=0", "files=maybe", "gpio")],
        ["stock", "nodes=-i2c"],
        ["files=no"] * 65,
    ],
)
def test_wrong_words_are_refused_with_the_valid_ones(words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_firmware(words)
    assert refused.value.next_step


def test_help_names_every_key() -> None:
    keys = set(FirmwareDescription.__struct_fields__)
    assert all(key in firmware_help() for key in keys)


def test_file_has_the_same_keys() -> None:
    text = 'plain = true\nnodes = ["+gpio"]\nmax_apps = 2\nheap = "4k"\nfiles = false\n'
    words = words_of_toml(text, "board.toml")
    assert parse_firmware(words) == parse_firmware(["plain", "nodes=+gpio", "max_apps=2", "heap=4k", "files=no"])
    assert parse_firmware(words_of_toml("nodes = []", "a")).nodes == NameChange(only=frozenset())


@pytest.mark.parametrize("text", ["nodes = [1]", "nodes = [", "heap = 1.5", 'nose = "x"'])
def test_wrong_file_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_firmware(words_of_toml(text, "board.toml"))


DOCUMENT = (Path(__file__).parents[2] / "docs" / "firmware.md").read_text(encoding="utf-8")


def test_document_lists_the_keys_and_its_example_is_read() -> None:
    keys = set(re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE))
    assert keys == set(FirmwareDescription.__struct_fields__)
    example = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)[0]
    described = parse_firmware(words_of_toml(example, "board.toml"))
    assert described.words == ("nodes=+spi,-i2c", "natives=-libm,-usleep", "max_apps=2", "heap=4096", "files=no")
    for word in re.findall(r"--firmware (\S+=\S+)", DOCUMENT):
        assert parse_firmware([word]) != FirmwareDescription()


def test_trial_board_has_no_described_limit_of_image_and_apps() -> None:
    board = parse_firmware(["nodes=-i2c", "image=1000", "max_apps=1"]).applied(STOCK)
    tried = for_trial(board).firmware
    assert tried.described == ("nodes=-i2c",)
    assert tried.max_module_bytes >= STOCK.firmware.max_module_bytes
    assert for_trial(STOCK) is STOCK


def test_firmware_is_told_whole() -> None:
    told = firmware_object(parse_firmware(["nodes=-i2c", "natives=-usleep"]).applied(STOCK).firmware)
    assert told["described"] == ["nodes=-i2c", "natives=-usleep"]
    assert told["nodes"] == ["gpio", "ledc"]
    assert told["natives_lacking"] == ["usleep"]
    assert told["max_apps"] == 3
