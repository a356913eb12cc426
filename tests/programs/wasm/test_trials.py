"""Programs in a trial: PWM by software, faults by every compiler, LLMos's blink. Others: tests/vectors/natural."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image

DUTIES = {2: 128, 4: 64, 5: 200, 6: 26, 7: 64, 15: 128, 16: 230, 17: 0, 18: 255}
HELD_MS = 1000
WINDOW_MS = 8000


def setup(body: str) -> str:
    return f"void setup() {{ {body} }}\nvoid loop() {{ delay(1000); }}\n"


def share_percent(trial: Trial, pin: int) -> float:
    """The share of the window in which the pin was high."""
    level = 0
    since = 0.0
    high = 0.0
    edges = [(edge.t_ms, edge.level) for edge in trial.edges if edge.pin == pin]
    for t_ms, after in (*edges, (float(WINDOW_MS), 0)):
        high += level * max(0.0, min(t_ms, WINDOW_MS) - max(since, HELD_MS))
        level = after
        since = t_ms
    return high / (WINDOW_MS - HELD_MS) * 100


async def test_pins_beyond_the_hardwares_pwm_are_switched_by_a_timer_with_the_right_average(
    compile_c: Any, board: BoardProfile
) -> None:
    source = setup("".join(f"analogWrite({pin}, {duty}); " for pin, duty in DUTIES.items()))
    trial = await try_image(await compile_c(source, language="sketch"), board, TrialOptions(for_ms=WINDOW_MS))
    assert trial.ok, trial.error
    assert {change.pin for change in trial.pwm} == {2, 4, 5}
    shares = {pin: share_percent(trial, pin) for pin in list(DUTIES)[3:]}
    assert shares == {pin: pytest.approx(DUTIES[pin] / 2.55, abs=5) for pin in shares}


CUT = "#include <Preferences.h>\n#include <fcntl.h>\n#include <unistd.h>\nPreferences kept;\n" + setup(
    'kept.begin("a"); kept.putInt("n", 1); kept.putInt("n", 2); kept.end();\n'
    ' for (int i = 0; i < 2; i++) { const char *path = i ? "/storage/prefs-a1" : "/storage/prefs-a0";\n'
    '  int fd = open(path, O_WRONLY | O_TRUNC); write(fd, "cut", 3); close(fd);\n'
    '  kept.begin("a"); printf("%d\\n", (int)kept.getInt("n", 0)); kept.end(); }'
)


async def test_a_write_of_preferences_that_was_cut_leaves_the_one_before(compile_c: Any, board: BoardProfile) -> None:
    trial = await try_image(await compile_c(CUT, language="sketch"), board, TrialOptions(for_ms=500))
    assert trial.ok, trial.error
    assert sorted(trial.log) == ["0", "1"] or trial.log == ("2", "0")


@pytest.mark.parametrize(("level", "compiler"), [("O0", "zig"), ("O3", "clang")])
async def test_fault_is_named_with_its_line(
    compile_c: Any, board: BoardProfile, monkeypatch: pytest.MonkeyPatch, level: str, compiler: str
) -> None:
    """By each compiler, and whatever the optimization. Other faults: tests/vectors/natural/f*."""
    monkeypatch.setenv("MICROCLAW_COMPILER", compiler)
    source = (
        "#include <stdio.h>\nvolatile int n = 4;\nint table[4];\nint main(void) {\n" + ' printf("%d", table[n + 1]);\n}'
    )
    trial = await try_image(await compile_c(source, optimization=level), board, TrialOptions(for_ms=1000))
    assert (trial.ok, trial.error) == (False, "it trapped at line 5: index 5 is outside 'int[4]'")
    assert (trial.next_step or "").startswith("correct line 5, column ")


STRUCT_OVERRUN = """#include <string.h>
struct room {
    char name[8];
    int degrees;
} rooms[2];
int main(int count, char **words) {
    strcpy(rooms[count - 1].name, count ? "living-room-lamp" : words[0]);
    return rooms[0].degrees;
}
"""
BLOCK_OVERRUN = """#include <stdio.h>
#include <stdlib.h>
static const char *word = "living-room-lamp";
int main(void) {
    char *p = malloc(10), *q = malloc(10);
    snprintf(p, 100, "FORMAT", 1, word);
    return puts(q);
}
"""


@pytest.mark.parametrize("compiler", ["zig", "clang"])
@pytest.mark.parametrize(
    ("source", "words"),
    [
        (STRUCT_OVERRUN, "line 7, in main: strcpy writes 17 bytes, rooms[count - 1].name has 8"),
        (BLOCK_OVERRUN.replace("FORMAT", "%d%s"), "line 6, in main: snprintf writes 18 bytes, p has 10"),
        (BLOCK_OVERRUN.replace("FORMAT", "%*s"), "line 6, in main: snprintf writes 17 bytes, p has 10"),
    ],
)
async def test_write_past_an_array_is_named_with_function_array_and_sizes(
    compile_c: Any, board: BoardProfile, monkeypatch: pytest.MonkeyPatch, compiler: str, source: str, words: str
) -> None:
    """By each compiler. Other such writes: tests/vectors/natural/f3*."""
    monkeypatch.setenv("MICROCLAW_COMPILER", compiler)
    trial = await try_image(await compile_c(source), board, TrialOptions(for_ms=1000))
    assert (trial.ok, trial.error) == (False, f"it trapped at {words}")


# LLMos

LLMOS = (
    "#include <fcntl.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n#include <unistd.h>\n"
    '#define GPIO_DEV "/dev/gpio"\n#define GPIO_CMD_SET_DIRECTION 0x1001\n#define GPIO_CMD_SET_LEVEL 0x1002\n'
    "typedef struct { int pin; int value; } gpio_config_t;\n"
    "int main() {\n    int fd = open(GPIO_DEV, O_RDWR);\n    gpio_config_t config = {.pin = 2, .value = 1};\n"
    "    ioctl(fd, GPIO_CMD_SET_DIRECTION, &config);\n    while (1) {\n        config.value = 1;\n"
    "        ioctl(fd, GPIO_CMD_SET_LEVEL, &config);\n        sleep(1);\n        config.value = 0;\n"
    "        ioctl(fd, GPIO_CMD_SET_LEVEL, &config);\n        sleep(1);\n    }\n    return 0;\n}\n"
)


async def test_blink_of_llmos_runs_as_written_and_the_build_names_the_layer(
    compile_c: Any, board: BoardProfile
) -> None:
    image = await compile_c(LLMOS)
    assert [(w.line, w.message) for w in image.warnings] == [
        (5, "/dev/gpio with ioctl 0x1001 and 0x1002 is LLMos's way to pins: it runs by a layer on /dev/gpio/N")
    ]
    trial = await try_image(image, board, TrialOptions(for_ms=10_000))
    assert trial.ok, trial.error
    edges = [(round(e.t_ms, -2), e.pin, e.level) for e in trial.edges[:4]]
    assert edges == [(0, 2, 1), (1000, 2, 0), (2000, 2, 1), (3000, 2, 0)]
    forbidden = await compile_c(LLMOS.replace(".pin = 2", ".pin = 27"))
    assert not (await try_image(forbidden, board, TrialOptions(for_ms=2000))).ok
