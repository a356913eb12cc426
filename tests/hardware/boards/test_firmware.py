"""A person's description of a firmware: its words, what it makes of a profile, what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from microclaw.errors import ConfigError
from microclaw.hardware.boards.firmware import (
    MAX_PROGRAM_BYTES,
    MAX_PROGRAMS,
    FirmwareDescription,
    parse_firmware,
    with_micropython,
    words_of_toml,
)
from microclaw.hardware.boards.profile import Firmware
from microclaw.hardware.boards.reader import board_ids, load_board
from microclaw.programs.py.py_image import MAX_MPY_BYTES

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


def test_natives_are_named_singly_and_by_group_and_a_list_is_all_there_is() -> None:
    lesser = parse_firmware(["natives=-usleep,-libm,+mqtt,+pthread_self"]).applied(STOCK).firmware
    has = [("sleep", "libc_ext"), ("wasm_mqtt_init", "mqtt"), ("pthread_self", "pthread")]
    lacks = [("usleep", "libc_ext"), ("sinf", "libm"), ("pthread_create", "pthread")]
    assert [native for native in has + lacks if lesser.has_native(*native)] == has
    listed = parse_firmware(["natives=libc_builtin,usleep"]).applied(STOCK).firmware
    has = [("printf", "libc_builtin"), ("usleep", "libc_ext")]
    assert [native for native in [*has, ("open", "libc_ext")] if listed.has_native(*native)] == has


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


def test_a_file_has_the_same_keys_and_a_wrong_one_is_refused() -> None:
    text = 'plain = true\nnodes = ["+gpio"]\nmax_apps = 2\nheap = "4k"\nfiles = false\n'
    words = words_of_toml(text, "board.toml")
    assert parse_firmware(words) == parse_firmware(["plain", "nodes=+gpio", "max_apps=2", "heap=4k", "files=no"])
    assert parse_firmware(words_of_toml("nodes = []", "a")).nodes == ("none",)
    for wrong in ("nodes = [1]", "nodes = [", "heap = 1.5", 'nose = "x"'):
        with pytest.raises(ConfigError):
            parse_firmware(words_of_toml(wrong, "board.toml"))


DOCUMENT = (Path(__file__).parents[3] / "docs" / "firmware.md").read_text(encoding="utf-8")


def test_document_lists_the_keys_and_its_example_is_read() -> None:
    keys = set(re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE))
    assert keys == set(FirmwareDescription.__struct_fields__)
    example = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)[0]
    described = parse_firmware(words_of_toml(example, "board.toml"))
    assert described.words == ("nodes=+spi,-i2c", "natives=-libm,-usleep", "max_apps=2", "heap=4096", "files=no")
    for word in re.findall(r"--firmware (\S+=\S+)", DOCUMENT):
        assert parse_firmware([word]) != FirmwareDescription()


def test_a_board_with_our_micropython_has_other_limits_and_the_same_pins() -> None:
    ours_there = (Path(__file__).parents[3] / "firmware/fw/board.py").read_text(encoding="utf-8")
    found = re.search(r'facts\.get\("max_programs", (\d+)\)', ours_there)
    assert found is not None
    assert int(found[1]) == MAX_PROGRAMS
    assert MAX_PROGRAM_BYTES == MAX_MPY_BYTES
    for board_id in board_ids():
        board = load_board(board_id)
        ours = with_micropython(board)
        assert replace(ours, firmware=board.firmware, power_cut=board.power_cut) == board
        assert (ours.firmware.max_apps, ours.firmware.apps_survive_reset) == (MAX_PROGRAMS, True)
    assert with_micropython(parse_firmware(["max_apps=2"]).applied(STOCK)).firmware.max_apps == 2, "as described"
