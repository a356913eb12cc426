"""The author of what a program prints: what it may have read is not its person's own."""

from __future__ import annotations

import pytest

from microclaw.hardware.boards.reader import load_board
from microclaw.programs.building import ProgramLanguage, cached_compiler
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.changes.authors import with_author
from microclaw.programs.changes.change_log import ChangeOrigin, Claims, Origin, change_origin
from microclaw.programs.changes.deployment import ChangeRequest

C_HEAD = '#include "microclaw.h"\n'
PRINTS = C_HEAD + 'void on_init(void) { gpio_get(gpio_open(4, GPIO_IN)); printf("hello"); }'
SENSES = (
    C_HEAD + 'void on_init(void) { float t; sensor_read(i2c_open(8, 9), 0x76, "temperature", &t); printf("%f", t); }'
)
BUS = C_HEAD + "void on_init(void) { char t[9]; i2c_read_reg(i2c_open(8, 9), 0x50, 0, t, 8); puts(t); }"
HTTP = (
    '#include <esp_http_client.h>\nvoid on_init(void) { esp_http_client_config_t c = {.url = "http://a.example"};'
    " esp_http_client_perform(esp_http_client_init(&c)); }"
)
PLAIN_PY = "from microclaw import every, pin\nled = pin(2)\nevery(100, led.toggle)\nprint('hello')\n"
UART_PY = "from machine import UART\nport = UART(1, 9600, tx=17, rx=18)\nprint(port.read())\n"
FILE_PY = "import os\nprint(os.listdir())\n"


@pytest.mark.parametrize(
    ("source", "language", "is_own"),
    [
        (PRINTS, "c", True),
        (SENSES, "c", True),
        (BUS, "c", False),
        (HTTP, "c", False),
        (PLAIN_PY, "python", True),
        (UART_PY, "python", False),
        (FILE_PY, "python", False),
    ],
)
async def test_a_program_that_can_read_text_prints_words_of_others(
    source: str, language: ProgramLanguage, is_own: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    build = cached_compiler(BuildCache(tmp_path_factory.mktemp("cache")))
    image = await build(source, load_board("virtual"), "p", "O2", language, ("wasm", "py"))
    request = ChangeRequest("d", "p", source=source)

    def authorship(asked: ChangeRequest) -> tuple[bool, bool]:
        claims = with_author(Claims(), asked, image)
        return claims.own_source, claims.own_words

    assert authorship(request) == (True, is_own)
    with change_origin(ChangeOrigin(is_tainted=True)):
        assert authorship(request) == (False, False), "the turn may have copied what it had read"
    theirs = ChangeRequest("d", "p", source=source, origin=Origin("blink", "1.0.0", "/srv/shelf"))
    assert authorship(theirs) == (False, False)
    assert authorship(ChangeRequest("d", "p", wasm=image.code)) == (False, False)
