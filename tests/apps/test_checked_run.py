"""Faults in memory, full stacks and traps are named with function and line in the trial; sound programs stay clean."""

# ruff: noqa: E501 - a program a line is easier to read

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards import load_board
from microclaw.wasm import BuildCache, compile_module
from microclaw.wasm.source_language import language_of_file

HEAD = "#include <microclaw.h>\n#include <string.h>\n#include <stdlib.h>\nvolatile int n = 4;\n"
# Name: file, text, what the error says. The programs of .c and .cpp begin with line 5, behind HEAD.
FAULTS = {
    "the text of a String that is gone": (
        "a.ino",
        'const char *label(int i) { String s = "sensor-" + String(i) + "-north"; return s.c_str(); }\n'
        'void setup() { const char *a = label(1); String other = "sensor-9-south"; Serial.println(a);\n'
        " Serial.println(other); }\nvoid loop() {}\n",
        "line 2: Print::println in setup reads a block of 16 bytes after it was freed in line 1",
    ),
    "strcpy over a local array": (
        "a.c",
        'int main(void) {\n char buf[8];\n const char *s = n > 3 ? "far too long" : "x";\n strcpy(buf, s);\n'
        ' printf("%s", buf);\n}',
        "line 8: strcpy in main writes 13 bytes, buf has 8",
    ),
    "strcpy over a block": (
        "a.c",
        'int main(void) {\n char *p = malloc(8);\n strcpy(p, "12345678");\n printf("%s", p);\n}',
        "line 7: strcpy in main writes 9 bytes, the block has 8",
    ),
    "strncpy with a wrong size": (
        "a.c",
        'static char name[8];\nint main(void) {\n strncpy(name, "abc", n + 8);\n printf("%s", name);\n}',
        "line 7: strncpy in main writes 12 bytes, name has 8",
    ),
    "strcat once too often": (
        "a.c",
        'char name[8];\nint main(void) {\n for (int i = 0; i < n; i++)\n  strcat(name, "abc");\n printf("%s", name);\n}',
        "line 8: strcat in main writes behind the end of name, which has 8 bytes",
    ),
    "strlcpy with the size of another array": (
        "a.c",
        'char name[8], text[32] = "a text of 21 letters.";\nint main(void) {\n strlcpy(name, text, sizeof text);\n'
        ' printf("%s", name);\n}',
        "line 7: strlcpy in main writes behind the end of name, which has 8 bytes",
    ),
    "memcpy of too much": (
        "a.c",
        'int a[4], b[8];\nint main(void) {\n memcpy(a, b, n * 6);\n printf("%d", a[0]);\n}',
        "line 7: memcpy in main writes 24 bytes, a has 16",
    ),
    "memcpy from too little": (
        "a.c",
        'int a[8], b[4];\nint main(void) {\n memcpy(a, b, n * 6);\n printf("%d", a[0]);\n}',
        "line 7: memcpy in main reads 24 bytes, b has 16",
    ),
    "memset in on_init": (
        "a.c",
        "char name[8];\nvoid on_init(void) {\n memset(name, 1, n + 8);\n}",
        "line 7: memset in on_init writes 12 bytes, name has 8",
    ),
    "sprintf": (
        "a.c",
        'char out[4];\nint main(void) {\n sprintf(out, "%d", n * 1000000);\n printf("%s", out);\n}',
        "line 7: sprintf in main writes 8 bytes, out has 4",
    ),
    "sprintf with a format of ours": (
        "a.c",
        'char out[4];\nint main(void) {\n sprintf(out, "%*d", n + 4, n);\n printf("%s", out);\n}',
        "line 7: sprintf in main writes behind the end of out, which has 4 bytes",
    ),
    "snprintf with a wrong size": (
        "a.c",
        'int main(void) {\n char out[4];\n snprintf(out, 16, "%d", n * 1000000);\n printf("%s", out);\n}',
        "line 7: snprintf in main writes 8 bytes, out has 4",
    ),
    "text without an end": (
        "a.c",
        'char tag[4];\nint main(void) {\n for (int i = 0; i < n; i++) tag[i] = 65;\n printf("%s", tag);\n}',
        "line 8: printf in main reads ",
    ),
    "store behind a block": (
        "a.c",
        "int main(void) {\n int *p = malloc(4 * sizeof(int));\n for (int i = 0; i <= n; i++)\n  p[i] = i;\n"
        ' printf("%d", p[2]);\n}',
        "line 8: main writes behind the end of the block, which has 16 bytes",
    ),
    "store before a block": (
        "a.c",
        'int main(void) {\n char *p = malloc(16);\n p[3 - n] = 1;\n printf("%s", p);\n}',
        "line 7: main writes 1 byte before the begin of the block, which has 16 bytes",
    ),
    "use after free": (
        "a.c",
        'int main(void) {\n int *p = malloc(16);\n p[0] = 1;\n free(p);\n p[1] = n;\n printf("%d", p[1]);\n}',
        "line 9: main writes a block of 16 bytes after it was freed in line 8",
    ),
    "freed twice": (
        "a.c",
        'int main(void) {\n int *p = malloc(16);\n free(p);\n if (n) free(p);\n printf("done");\n}',
        "line 8: free in main, but the block was freed in line 7 already",
    ),
    "free of an array": (
        "a.c",
        'static char buf[16];\nint main(void) {\n char *p = buf;\n free(p + n);\n printf("done");\n}',
        "line 8: free in main, but the pointer is not the begin of a block that malloc gave",
    ),
    "pointer behind an array, between sleeps": (
        "a.c",
        "int t[4];\nint main(void) {\n int *q = t;\n while (n < 10) {\n  *q++ = n++;\n  delay(10);\n }\n}",
        "line 9: main writes behind the end of t, which has 16 bytes",
    ),
    "in a task": (
        "a.c",
        "static int *p;\nstatic void tick(void) {\n p[n++] = 1;\n}\nvoid on_init(void) {\n p = malloc(24);\n"
        " every(100, tick);\n}",
        "line 7: tick writes behind the end of the block, which has 24 bytes",
    ),
    "in a helper's local array": (
        "a.c",
        "static void fill(char *to, int count) {\n while (count--) *to++ = 'x';\n}\n"
        'int main(void) {\n char line[10];\n fill(line, n * 3);\n printf("%c", line[2]);\n}',
        "line 6: fill writes behind the end of line, which has 10 bytes",
    ),
    "variable of a block that ended": (
        "a.c",
        "int *p;\nint main(void) {\n for (int i = 0; i < 2; i++) { int x[4]; x[n - 2] = i; p = x; }\n p[2] = 3;\n"
        ' printf("%d", *p);\n}',
        "line 8: main writes x after its block ended",
    ),
    "null into a string function": (
        "a.c",
        'char *find(int k) { return k > 9 ? "x" : NULL; }\nint main(void) {\n printf("%d", (int)strlen(find(n)));\n}',
        "line 7: strlen in main reads through a null pointer",
    ),
    "struct read from a block that is too small": (
        "a.c",
        "struct reading { int at, value, more; };\nint main(void) {\n struct reading *r = malloc(n);\n r->value = 3;\n"
        ' printf("%d", r->value);\n}',
        "line 8: main writes behind the end of the block, which has 4 bytes",
    ),
    "new[] in C++": (
        "a.cpp",
        "struct Ring {\n int *data;\n Ring(int size) : data(new int[size]) {}\n void put(int i, int v) { data[i] = v; }\n};\n"
        "static Ring ring(4);\nint main() {\n for (int i = 0; i < 6; i++) {\n  ring.put(i, i);\n  delay(10);\n }\n}",
        "line 8: Ring::put writes behind the end of the block, which has 16 bytes",
    ),
    "delete and use in C++": (
        "a.cpp",
        'struct Led { int pin; };\nint main() {\n Led *led = new Led{n};\n delete led;\n printf("%d", led->pin);\n}',
        "line 9: main reads a block of 4 bytes after it was freed in line 8",
    ),
    "sketch with functions below": (
        "a.ino",
        "char label[6];\nvoid setup() {\n  Serial.begin(9600);\n  fill(label, 9);\n}\nvoid loop() { delay(100); }\n"
        "void fill(char *to, int count) {\n  for (int i = 0; i < count; i++)\n    to[i] = 'x';\n}\n",
        "line 9: fill writes behind the end of label, which has 6 bytes",
    ),
    "sketch that joins texts": (
        "a.ino",
        "char line[12];\nint count = 0;\nvoid setup() { Serial.begin(115200); }\nvoid loop() {\n"
        '  strcat(line, "tick ");\n  Serial.println(line);\n  count++;\n  delay(1000);\n}\n',
        "line 5: strcat in loop writes behind the end of line, which has 12 bytes",
    ),
}
FAULTS["loop that never meets the end of its text"] = (
    "a.c",
    'char text[4] = {65, 66, 67, 68}, more[8] = "EFGHIJK";\nint main(void) {\n char *volatile p = text;\n unsigned i = 0;\n'
    ' while (p[i & 7]) i++;\n printf("%d %s", i, more);\n}',
    "line 9: main reads behind the end of text, which has 4 bytes",
)
TRAPS = {
    "endless recursion": (
        "a.c",
        "int depth(int k) {\n volatile char b[32];\n b[k % 32] = 1;\n return depth(k + 1) + b[3];\n}\n"
        'int main(void) {\n printf("%d", depth(1));\n}',
        "its stack is full: depth calls itself too deep for the stack (line ",
    ),
    "two that call each other": (
        "a.c",
        "int odd(int k);\nint __attribute__((noinline)) even(int k) {\n volatile int b[8];\n b[k % 8] = k;\n"
        " return odd(k + 1) + b[0];\n}\n"
        "int __attribute__((noinline)) odd(int k) {\n volatile int b[8];\n b[k % 8] = k;\n return even(k + 1) + b[1];\n}\n"
        'int main(void) {\n printf("%d", even(0));\n}',
        "calls itself through ",
    ),
    "large local arrays": (
        "a.c",
        'static void __attribute__((noinline)) show(char *b) {\n b[n] = 1;\n printf("%d", b[3]);\n}\n'
        "static void __attribute__((noinline)) inner(void) {\n char b[2500];\n memset(b, 0, sizeof b);\n show(b);\n}\n"
        "int main(void) {\n char a[2500];\n memset(a, 0, sizeof a);\n inner();\n show(a);\n}",
        "its stack is full: it has no room for the local variables of inner (line 11), called by main (line ",
    ),
    "pointer to no function": (
        "a.c",
        "void (*f)(void);\nint main(void) {\n f = (void (*)(void))(n * 1000);\n f();\n}",
        "it trapped at line 8, in main: it calls a function pointer that points to no function",
    ),
    "pointer to another type of function": (
        "a.c",
        "static int add(int a, int b) { return a + b; }\nint (*volatile p)(int, int) = add;\n"
        'int main(void) {\n printf("%d", ((int (*)(int))p)(n));\n}',
        "it trapped at line 8, in main: it calls a function through a pointer of another type",
    ),
    "far away": (
        "a.c",
        "int *volatile far = (int *)0x7000000;\nint main(void) {\n *far = n;\n}",
        "it trapped at line 7, in main: it reads or writes outside of its memory",
    ),
    "abort": (
        "a.c",
        "static void give_up(void) {\n abort();\n}\nint main(void) {\n if (n) give_up();\n}",
        "it trapped at line 6, in give_up: abort() or a failed assertion ended it",
    ),
    "sketch": (
        "a.ino",
        "void setup() {\n  Serial.begin(9600);\n}\nvoid loop() {\n  step();\n  delay(10);\n}\n"
        "void step() {\n  static int calls;\n  if (++calls == 5) __builtin_trap();\n}\n",
        "it trapped at line 10, in step: ",
    ),
}
# Sound, if only just: what a careless checker would call a fault.
SOUND = {
    "texts to the last byte": (
        "a.c",
        'char name[8];\nint main(void) {\n strcpy(name, "1234567");\n snprintf(name, sizeof name, "%d", n * 100000000);\n'
        ' strlcpy(name, "much too long", sizeof name);\n printf("%s", name);\n}',
    ),
    "texts without an end, with a length": (
        "a.c",
        'char tag[4] = {65, 66, 67, 68};\nint main(void) {\n printf("%.4s %.*s", tag, 4, tag);\n'
        ' printf("%d %d", strncmp(tag, "ABCD", 4), (int)strnlen(tag, 4));\n'
        " printf(\"%d\", memchr(tag, 'B', 9) != NULL);\n}",
    ),
    "heap turned over many times": (
        "a.c",
        "int main(void) {\n for (int i = 0; i < 3000; i++) {\n  char *p = malloc(100 + i % 700);\n  memset(p, i, 100);\n"
        '  p = realloc(p, 900);\n  p[899] = 1;\n  free(p);\n }\n free(NULL);\n printf("done");\n}',
    ),
    "heap that is full": (
        "a.c",
        "int main(void) {\n int got = 0;\n while (got < 100 && malloc(500)) got++;\n"
        ' printf("%d", got);\n char *p = calloc(1000, 1000);\n printf("%d", p == NULL);\n}',
    ),
    "exit from depth, then tasks": (
        "a.c",
        'static void tick(void) { char b[64]; memset(b, n, sizeof b); printf("%d", b[n]); }\n'
        "static void deep(int k) { char b[64]; memset(b, k, sizeof b); if (!k) exit(0); deep(k - 1); n = b[3]; }\n"
        "int main(void) { every(100, tick); delay(200); deep(5); }",
    ),
    "buffers on the stack over sleeps": (
        "a.c",
        "static int sum(const char *b, int size) { int s = 0; while (size--) { s += *b++; delay(1); } return s; }\n"
        "static void tick(void) { char b[48]; memset(b, 1, sizeof b); n = b[47] + 3; }\n"
        "int main(void) {\n every(3, tick);\n for (int i = 0; i < 20; i++) {\n  char b[33];\n  memset(b, i, sizeof b);\n"
        '  printf("%d", sum(b, sizeof b));\n }\n}',
    ),
    "structs and two dimensions": (
        "a.c",
        "struct row { char name[5]; short values[3]; } rows[3], copy;\nint grid[3][5];\nint main(void) {\n"
        " for (int i = 0; i < 3; i++) { rows[i].values[2] = i; copy = rows[i]; }\n memset(grid, 0, sizeof grid);\n"
        ' int *flat = &grid[0][0];\n for (int i = 0; i < 15; i++) flat[i] = i;\n printf("%d %d", copy.values[2], grid[2][4]);\n}',
    ),
    "strings and lists in a sketch": (
        "a.ino",
        "String log_text;\nint *values = nullptr;\nvoid setup() {\n  Serial.begin(9600);\n  values = new int[10];\n}\n"
        'void loop() {\n  static int i;\n  values[i++ % 10] = i;\n  log_text += String(i) + ",";\n'
        "  if (log_text.length() > 60) log_text = log_text.substring(30);\n  Serial.println(log_text);\n"
        "  String parts = log_text; parts.trim(); parts.toUpperCase();\n  delay(50);\n}\n",
    ),
}


async def attempt(file: str, text: str, build_cache: Path, *, head: str = HEAD) -> Trial:
    board, cache = load_board("virtual"), BuildCache(build_cache)
    source = text if file.endswith(".ino") else head + text
    image = await compile_module(source, board, name="a", language=language_of_file(file), cache=cache)
    return await try_image(image, board, TrialOptions(for_ms=3000), cache=cache)


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_in_memory_is_named_with_its_line(name: str, build_cache: Path) -> None:
    file, text, error = FAULTS[name]
    trial = await attempt(file, text, build_cache)
    assert not trial.ok
    assert (trial.error or "").startswith(f"it uses memory wrongly at {error}")
    assert trial.next_step


@pytest.mark.parametrize("name", TRAPS)
async def test_a_trap_is_told_in_plain_words_with_its_place(name: str, build_cache: Path) -> None:
    file, text, error = TRAPS[name]
    trial = await attempt(file, text, build_cache)
    assert not trial.ok
    assert error in (trial.error or "")
    assert trial.next_step


@pytest.mark.parametrize("name", SOUND)
async def test_a_sound_program_stays_clean(name: str, build_cache: Path) -> None:
    file, text = SOUND[name]
    trial = await attempt(file, text, build_cache)
    assert trial.error is None
    assert trial.log
