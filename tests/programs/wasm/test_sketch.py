"""A sketch gets its prototypes and keeps its lines; a halt waits."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.errors import BuildError
from microclaw.programs.wasm.source_text import read_source

LOOP = "void loop() {}\n"


def prepared(sketch: str) -> str:
    return read_source(sketch, "a", language="sketch").text


def prototypes(sketch: str) -> list[str]:
    """The lines inserted in front of the sketch's own functions."""
    return [line for line in prepared(sketch).splitlines() if line.endswith(";") and line not in sketch]


@pytest.mark.parametrize(
    ("sketch", "wanted"),
    [
        ("void setup() { f(); }\nint f() { return 1; }\n", ["int f();"]),
        (
            "void setup() {}\nstatic inline bool f(int &a, const char *b) { return a; }\n",
            ["static inline bool f(int &a, const char *b);"],
        ),
        ("void setup() {}\nunsigned long\nf(int a,\n  int b)\n{ return a; }\n", ["unsigned long f(int a, int b);"]),
        ('void setup() {}\nvoid f(const char *s = "a  b") {}\n', ['void f(const char *s = "a  b");']),
        ("void setup() {}\nvoid f(int a = 3, int b = g(1, 2)) {}\n", ["void f(int a = 3, int b = g(1, 2));"]),
        ("#if 1\nvoid f() {}\n#else\nvoid f() {}\n#endif\nvoid setup() {}\n", ["void f();"]),
        ("A::A(int a) : y{a} {} void setup() {}\nvoid f() {}\n", ["void f();"]),
        ("bool A::operator==(const A &b) const { return b.a; } void setup() {}\nvoid f() {}\n", ["void f();"]),
        (
            "void setup() {}\ntemplate <class T> void f(T t) {}\nenum class M { A };\n",
            ["template <class T> void f(T t);"],
        ),
        ("#define f g\nvoid setup() { f(); }\nvoid f() {}\n", ["void f();"]),
        ("void setup() {}\nvoid f(int a = 1 < 2, int b = 2) {}\n", ["void f(int a = 1 < 2, int b = 2);"]),
        # None: the compiler takes these as they stand.
        ("struct A { void f(); };\nvoid A::f() {}\nA operator+(A a, A b) { return a; }\n", []),
        ("#define DEF(name, x) int name() { return x; }\nDEF(one, 1)\nvoid setup() {}\n", []),
        ("void f();\nvoid setup() { f(); }\nvoid f() {}\n", []),
        ("class A { public: A(int a) : a_(a), b_{a} {} int a_, b_; };\nA a(1);\nvoid setup() {}\n", []),
    ],
)
def test_prototypes_are_those_that_the_arduino_ide_writes(sketch: str, wanted: list[str]) -> None:
    assert prototypes(sketch) == wanted


@pytest.mark.parametrize(
    ("sketch", "order"),
    [
        (
            "void setup() {}\nstruct A { int x; };\nvoid f(A &a) {}\nvoid g() {}\n",
            ("void g();", "void setup()", "struct A", "void f(A &a);"),
        ),
        (
            "void setup() {}\nstruct A { int x; };\n#ifdef NO\nvoid g() {}\n#endif\nvoid f(A a) {}\n",
            ("struct A", "void f(A a);", "#ifdef NO"),
        ),
        (
            "#include <Servo.h>\n#if 1\nvoid f(Servo &s) {}\n#endif\n#ifdef NO\nvoid g() {}\n#endif\nvoid setup() {}\n",
            ("#include", "void f(Servo &s);", "#if 1", "#ifdef NO"),
        ),
        (  # nothing is put into a comment, which it could end
            '#if 1\nstruct A {};\n#endif /*\n#include "/etc/passwd"\n*/\nvoid f(A a, const char *s = "*/") {}\n',
            ('"/etc/passwd"', 'void f(A a, const char *s = "*/");'),
        ),
    ],
)
def test_prototype_stands_behind_its_types_and_in_no_condition(sketch: str, order: tuple[str, ...]) -> None:
    places = [prepared(sketch).index(part) for part in order]
    assert places == sorted(places)


async def test_errors_behind_all_that_was_inserted_keep_their_place(compile_c: Any) -> None:
    sketch = "int x = 1;\nvoid setup() { if (x) while (1); f(); y = 3; }\nvoid f(int a = 3) { x = a; }\n  z();\n" + LOOP
    with pytest.raises(BuildError) as caught:
        await compile_c(sketch, language="sketch")
    places = {(d.line, d.column) for d in caught.value.diagnostics if d.severity == "error"}
    assert (2, sketch.splitlines()[1].index("y = 3") + 1) in places
    assert any(line == 4 for line, _ in places)
