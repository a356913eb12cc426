"""Commands over several boards of a running host: chosen by name, by label, all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run, clean_environ, run_in

from microclaw.cli.child import Child

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(10, GPIO_OUT); every(100, tick); }
"""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a host with three boards; the first and the third are in the kitchen."""
    home = tmp_path_factory.mktemp("home")
    words = ["microclaw.cli", "--json", "up", "--port", "0", "--virtual", "3", "--die-with-parent"]
    with Child("host", words, log=home / "stderr", environ=clean_environ(home)) as child:
        child.wait_ready()
        for number in (1, 3):
            assert run_in(home, "device", "label", f"virtual-{number}", "room=kitchen").code == 0
        yield home


@pytest.fixture
def ask(three: Path) -> Run:
    return lambda *words, stdin="": run_in(three, *words, stdin=stdin)


@pytest.fixture
def blink(tmp_path: Path) -> str:
    file = tmp_path / "blink.c"
    file.write_text(BLINK)
    return str(file)


def test_another_program_of_the_name_is_not_replaced_without_a_yes(ask: Run, blink: str) -> None:
    assert ask("run", blink, "-d", "virtual-1").code == 0
    try:
        Path(blink).write_text(BLINK.replace("every(100", "every(250"))
        refused = ask("run", blink, "--all")
        assert refused.code == 2
        ran = ask("run", blink, "--all", "-y")
        assert ran.code == 0, ran.err
    finally:
        ask("app", "uninstall", "blink", "--all", "-y")


@pytest.mark.parametrize(
    "words",
    [
        ("exec", "-l", "room=attic", "gpio.get", "5"),
        ("exec", "--all", "-d", "virtual-1", "gpio.get", "5"),
        ("exec", "-d", "virtual-1", "-d", "virtual-9", "gpio.get", "5"),
        ("app", "list", "-d", "virtual-1", "-d", "virtual-9"),
        ("chat", "hello", "--all"),
        ("app", "changes", "-d", "virtual-1", "-d", "virtual-2"),
        ("device", "label", "virtual-2", "Room: kitchen"),
    ],
)
def test_a_choice_without_one_meaning_is_refused(ask: Run, words: tuple[str, ...]) -> None:
    ran = ask(*words)
    assert ran.code in (1, 2), ran.out
