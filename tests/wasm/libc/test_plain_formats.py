"""Which calls the source's text already clears of doubt, and which names a program takes for itself."""

from __future__ import annotations

import pytest

from microclaw.wasm.program_macros import format_defines, is_plain, own_defines
from microclaw.wasm.source_text import read_source


def chosen(source: str) -> set[str]:
    return {name.removeprefix("MICROCLAW_CHOOSE_") for name in format_defines(read_source(source, "main"))}


@pytest.mark.parametrize(
    "form",
    ["", "text", "%d", "%%", "%%*d", "%-08.3lf|%+5d", "% d%#x", "%hhu %lld %zu %p", "100%% *** %s", "%.0f", "%5.2f"],
)
def test_plain_formats(form: str) -> None:
    assert is_plain(form)


@pytest.mark.parametrize(
    "form", ["%*d", "%.*f", "%n", "%a", "%64d", "%.60f", "%100s", "%", "%y", r"\x25*d", r"%\52d", "%%%*d"]
)
def test_doubtful_formats(form: str) -> None:
    assert not is_plain(form)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('void f(void) { printf("%d" " %s\\n", g(1, 2), "*"); }', set()),
        ("void f(char *s) { printf(s); }", {"printf"}),
        ('void f(void) { printf(x ? "a" : "b"); }', {"printf"}),
        ('#define LOG(f, ...) printf(f "\\n", __VA_ARGS__)\nint x;', {"printf"}),
        ('void f(char *s) { snprintf(s, sizeof(s), "%*d", 1, 2); sprintf(s, "%d", 1); }', {"snprintf"}),
        ('void f(char *s) { fprintf(stderr, "%d", 1); vsnprintf(s, 9, s, ap); }', {"vsnprintf"}),
        ("int (*p)(const char *, ...) = printf;", {"printf"}),
        ('void f(void) { log("%s", "x"); log(1.5); }', {"log"}),
        ('void f(void) { printf("%" PRIu64, 1ull); }', {"printf"}),
        ('void f(void) { printf(u8"%d", 1); }', {"printf"}),
        ("void f(void) { printf(", {"printf"}),
        ("void f(void) { printf(); }", {"printf"}),
    ],
)
def test_doubtful_calls_name_their_function(source: str, names: set[str]) -> None:
    assert chosen(source) == names


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("void delay(int ms) { }", {"delay"}),
        ("static int delay = 5;", {"delay"}),
        ("char *itoa(int n, char *s) { return s; }", {"itoa"}),
        ("unsigned millis[4];", {"millis"}),
        ("int f(void) { int delay = 5; return delay; }", set()),
        ("int f(void) { if (delay(5)) { } return 0; }", set()),
        ("void delay(int ms);", set()),
        ("struct s { int log; };", set()),
        ("void f(int delay) { }", set()),
    ],
)
def test_own_names_are_functions_and_variables_of_the_file(source: str, names: set[str]) -> None:
    found = {name.removeprefix("MICROCLAW_OWN_") for name in own_defines(read_source(source, "main"))}
    assert found == names
