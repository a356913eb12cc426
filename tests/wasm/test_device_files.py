"""Device files by name: LLMos's one file for all pins runs by a layer, a file that no firmware has is an error."""

from __future__ import annotations

from typing import Any

from microclaw.apps.trial import TrialOptions, try_image
from microclaw.boards.profile import BoardProfile

HEAD = "#include <fcntl.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n#include <unistd.h>\n"
LLMOS = (
    HEAD + '#define GPIO_DEV "/dev/gpio"\n#define GPIO_CMD_SET_DIRECTION 0x1001\n#define GPIO_CMD_SET_LEVEL 0x1002\n'
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
    assert [(round(e.t_ms, -2), e.pin, e.level) for e in trial.edges[:4]] == [
        (0, 2, 1),
        (1000, 2, 0),
        (2000, 2, 1),
        (3000, 2, 0),
    ]


async def test_pin_that_must_not_be_driven_is_found_behind_the_layer(compile_c: Any, board: BoardProfile) -> None:
    trial = await try_image(await compile_c(LLMOS.replace(".pin = 2", ".pin = 27")), board, TrialOptions(for_ms=2000))
    assert not trial.ok


async def test_other_commands_and_files_beside_the_layer_go_where_they_went(
    compile_c: Any, board: BoardProfile
) -> None:
    source = HEAD + (
        'int main() { int fd = open("/dev/gpio", O_RDWR), pin = open("/dev/gpio/3", O_RDWR); char one = 1;\n'
        " int a = ioctl(fd, 0x1003, &one), b = ioctl(fd, 0x1002, 0), c = (int)write(pin, &one, 1);\n"
        ' printf("%d %d %d %d\\n", a, b, c, close(fd));\n'
        " return close(pin); }"
    )
    trial = await try_image(await compile_c(source), board, TrialOptions(for_ms=1000))
    assert trial.log == ("-1 -1 1 0",)
    assert [(e.pin, e.level) for e in trial.edges][:1] == [(3, 1)]


async def test_character_0_written_to_a_pin_is_told_to_be_high(compile_c: Any, board: BoardProfile) -> None:
    source = HEAD + (
        'int main() { int pin = open("/dev/gpio/2", O_RDWR);\n'
        ' for (int i = 0; i < 3; i++) { write(pin, "1", 1); usleep(200000); write(pin, "0", 1); usleep(800000); } }'
    )
    trial = await try_image(await compile_c(source), board, TrialOptions(for_ms=5000))
    assert not trial.ok
