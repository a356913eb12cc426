"""The compiler runs on text from anywhere: none of it may make the compiler read the host's files."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from microclaw.errors import BuildError
from microclaw.programs.builds.process import Processes
from microclaw.programs.wasm.source_text import read_source
from microclaw.programs.wasm.toolchain import find_toolchain

TAIL = "\nvoid on_init(void) {}\n"

TRICKS = {
    "absolute": '#include "/etc/passwd"',
    "brackets": "#include </etc/passwd>",
    "parent": '#include "../glue/glue.h"',
    "hidden parent": '#include "sys/../../toolchain.py"',
    "internal header": '#include "pin_marks.h"',
    "spaces": '  #  include  "/etc/passwd"',
    "digraph": '%:include "/etc/passwd"',
    "spliced": '#inc\\\nlude "/etc/passwd"',
    "spliced with blanks": '#inc\\  \nlude "/etc/passwd"',
    "spliced hash": '\\\n#include "/etc/passwd"',
    "comment first": '/* x */ #include "/etc/passwd"',
    "comment inside": '#/* x\n */include "/etc/passwd"',
    "comment before the name": '#include /* x */ "/etc/passwd"',
    "after a comment's end": '/* " */\n#include "/etc/passwd" // "',
    "computed": '#define F "/etc/passwd"\n#include F',
    "file macro": "#include __FILE__",
    "import": '#import "/etc/passwd"',
    "include_next": '#include_next "stdio.h"',
    "embed": 'char x[] = {\n#embed "/etc/passwd"\n};',
    "line": '#line 3 "/etc/passwd"',
    "line marker": '# 3 "/etc/passwd" 3',
    "ident": '#ident "x"',
    "has_include": '#if __has_include("/etc/passwd")\n#endif',
    "has_embed": '#if __has_embed("/etc/passwd")\n#endif',
    "dependency": '#pragma GCC dependency "/etc/passwd"',
    "system header": "#pragma GCC system_header",
    "diagnostics off": '#pragma clang diagnostic ignored "-Wformat"',
    "_Pragma": '_Pragma("GCC dependency \\"/etc/passwd\\"")',
    "asm undefined": "#undef asm",
    "asm defined": "#define __asm__ x",
    "quote hides a comment": "char a = ' /*\n#include \"/etc/passwd\"\n' */",
    "string hides a comment": 'char *a = " /*\n#include "/etc/passwd"\n" */;',
    "raw string with a joined line": 'char *a = R"(\\\n)"; /*\n#include "/etc/passwd"\n*/ char *b = "(";',
    "raw string behind a dollar": 'char *a = $R"(\n#include "/etc/passwd"\n)";',
    "raw string in a warning": '#warning R"(\n#include "/etc/passwd"\n)"',
    "raw string that does not end": 'char *a = R"x(\n#include "/etc/passwd"\n)";',
    "byte order mark": '\ufeff#include "/etc/passwd"',
    "foreign blank": '\u00a0#include "/etc/passwd"',
    "escape": '#\\u0069nclude "/etc/passwd"',
    "nul": 'int a;\0\n#include "/etc/passwd"',
    "form feed is a blank": '\f#include "/etc/passwd"',
    "carriage return": 'int a; // x\r#include "/etc/passwd"',
    "open comment": '/* /* */ #include "/etc/passwd"',
    "unfinished comment": "/* never ends",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_trick_is_refused_before_the_compiler(trick: str) -> None:
    with pytest.raises(BuildError) as caught:
        read_source(TRICKS[trick] + TAIL, "prog")
    assert caught.value.stage == "source"
    assert caught.value.diagnostics[0].line is not None


@pytest.mark.parametrize(
    "source",
    [
        '#define P(a, b) a##b\n#if P(__has_inc, lude)("/etc/passwd")\n#error leaked\n#endif',
        '#define P(a, b) a##b\nvoid f(void) { P(__as, m__)(".incbin \\"/etc/passwd\\""); }',
        '#define P(a, b) a##b\nP(_Prag, ma)("GCC dependency \\"/etc/passwd\\"")',
        '??=include "/etc/passwd"',
        'char *a = "??/\n#include /etc/passwd\n";',
        '#include <vector>\n#define P(a, b) a##b\n#if !P(__has_inc, lude)("/etc/passwd")\n#error nothing found\n#endif',
    ],
)
async def test_pasted_names_find_nothing_in_the_compiler(compile_c: Any, source: str) -> None:
    with pytest.raises(BuildError) as caught:
        await compile_c(source + TAIL, language="c++" if "<vector>" in source else "c")
    said = " ".join(d.render() for d in caught.value.diagnostics)
    assert "root:" not in said
    assert "leaked" not in said


FRAGMENTS = (
    *("#", "%:", "include", "embed", "FILE", "define X", "X", "<", ">", "line 1", "if 0", "endif", "else", "??/"),
    *("??=", "\\\n", "\\ \n", "\n", "\n", "\n", " ", "\t", "\f", "/*", "*/", "//", '"', "'", 'R"(', ')"'),
    *('u8R"x(', ')x"', 'R"=-(', ')=-"', "$", "warning ", "##", "__has_include"),
)


def test_what_passes_never_makes_the_compiler_read_a_file(tmp_path: Path) -> None:
    """Random pieces of trickery: this file's reading of a source must not differ from clang's."""
    canary = tmp_path / "canary.txt"
    canary.write_text("int canary_was_read;\n#error canary_was_read\n")
    draw = random.Random(20)
    compiler = find_toolchain()
    processes = Processes()
    compiled = 0
    for _ in range(2000):
        pieces = [draw.choice(FRAGMENTS).replace("FILE", f'"{canary}"') for _ in range(draw.randint(3, 14))]
        try:
            text = read_source("".join(pieces) + TAIL, "prog", language=draw.choice((None, "c++", "sketch")))
        except BuildError:
            continue
        if "canary.txt" not in text.text or "#" not in text.text.replace("%:", "#"):
            continue
        (tmp_path / text.file).write_text(text.text)
        finished = processes.run(compiler.compile_command(text.file, "O0", ()), tmp_path)
        assert "canary_was_read" not in finished.output, text.text
        compiled += 1
    assert compiled > 20
