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
from microclaw.boards.reader import load_board
from microclaw.errors import ConfigError

STOCK = load_board("virtual")


def test_no_words_leave_the_profile_as_it_is() -> None:
    assert parse_firmware([]).applied(STOCK) is STOCK
    assert parse_firmware(["stock"]) == FirmwareDescription()


def test_names_are_taken_away_added_or_listed_whole() -> None:
    lesser = parse_firmware(["nodes=-i2c,+uart"]).applied(STOCK).firmware
    assert lesser.device_nodes == {"gpio", "ledc", "uart"}
    assert parse_firmware(["nodes=gpio"]).applied(STOCK).firmware.device_nodes == {"gpio"}
    assert parse_firmware(["nodes=none"]).applied(STOCK).firmware.device_nodes == set()


def test_natives_are_named_singly_and_by_group() -> None:
    firmware = parse_firmware(["natives=-usleep,-libm,+mqtt,+pthread_self"]).applied(STOCK).firmware
    assert not firmware.has_native("usleep", "libc_ext")
    assert firmware.has_native("sleep", "libc_ext")
    assert not firmware.has_native("sinf", "libm")
    assert firmware.has_native("wasm_mqtt_init", "mqtt")
    assert firmware.has_native("pthread_self", "pthread")
    assert not firmware.has_native("pthread_create", "pthread")


def test_list_of_natives_alone_is_all_there_is() -> None:
    firmware = parse_firmware(["natives=libc_builtin,usleep"]).applied(STOCK).firmware
    assert firmware.has_native("printf", "libc_builtin")
    assert firmware.has_native("usleep", "libc_ext")
    assert not firmware.has_native("open", "libc_ext")
    assert not firmware.has_native("wasm_create_timer", "app_framework")


def test_plain_has_neither_device_files_nor_storage_and_can_be_added_to() -> None:
    firmware = parse_firmware(["plain", "nodes=+gpio"]).applied(STOCK).firmware
    assert firmware.native_groups == {"libc_builtin", "app_framework"}
    assert firmware.device_nodes == {"gpio"}
    assert not firmware.has_files


def test_limits_are_numbers_with_k_and_m() -> None:
    words = ["max_apps=2", "heap=4k", "memory=64 KB", "image=20000", "timers=5", "files=no", "attributes=old"]
    firmware = parse_firmware(words).applied(STOCK).firmware
    assert (firmware.max_apps, firmware.max_heap_bytes, firmware.max_memory_bytes) == (2, 4096, 65536)
    assert (firmware.max_module_bytes, firmware.max_timers, firmware.has_files) == (20000, 5, False)
    assert firmware.attribute_generation == "old"


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
    "word",
    ["nodse=-i2c", "nodes=", "nodes=+i2c,-i2c", "max_apps=0", "files=maybe", "gpio"],
)
def test_wrong_word_is_refused_with_the_valid_ones(word: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_firmware([word])
    assert refused.value.next_step


def test_stock_stands_alone() -> None:
    with pytest.raises(ConfigError):
        parse_firmware(["stock", "nodes=-i2c"])


def test_more_words_than_the_limit_are_refused() -> None:
    with pytest.raises(ConfigError):
        parse_firmware(["files=no"] * 65)


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
