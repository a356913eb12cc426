"""Programs in a trial: Arduino's libraries, PWM by software, C++, device files, faults with their lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.profile import BoardProfile
from microclaw.wasm.source_language import Language


class Tried(Struct, frozen=True):
    """A source, what must be true of its trial, how long that is, and the source's language."""

    source: str
    holds: Callable[[Trial], bool]
    ms: int = 3000
    language: Language | None = "sketch"


LOOP, EMPTY = "void loop() { delay(1000); }\n", "void loop() {}\n"


def setup(body: str, loop: str = LOOP) -> str:
    return f"void setup() {{ {body} }}\n{loop}"


def printed(*lines: str) -> Callable[[Trial], bool]:
    return lambda trial: trial.ok and trial.log == lines


def stripped(trial: Trial) -> list[str]:
    return [line.strip() for line in trial.log]


def failed(trial: Trial) -> bool:
    return not trial.ok and bool(trial.error)


# PWM on more pins than the hardware has: the others are switched by a timer, with the right average

DUTIES = {2: 128, 4: 64, 5: 200, 6: 26, 7: 64, 15: 128, 16: 230, 17: 0, 18: 255}
MANY = setup("".join(f"analogWrite({pin}, {duty}); " for pin, duty in DUTIES.items()), "")
HELD_MS, WINDOW_MS = 1000, 8000


def shares(trial: Trial, **duties: int) -> bool:
    """Each pin's share of the window in which it was high is its duty."""
    for name, duty in duties.items():
        level, since, high = 0, 0.0, 0.0
        edges = [(edge.t_ms, edge.level) for edge in trial.edges if edge.pin == int(name[1:])]
        for t_ms, after in (*edges, (float(WINDOW_MS), 0)):
            high += level * max(0.0, min(t_ms, WINDOW_MS) - max(since, HELD_MS))
            level, since = after, t_ms
        if abs(high / (WINDOW_MS - HELD_MS) * 100 - duty / 2.55) > 5:
            return False
    return trial.ok


def every_duty(trial: Trial) -> bool:
    by_software = {f"p{pin}": duty for pin, duty in list(DUTIES.items())[3:]}
    return {change.pin for change in trial.pwm} == {2, 4, 5} and shares(trial, **by_software)


def at(trial: Trial, pin: int) -> list[float]:
    return [edge.t_ms for edge in trial.edges if edge.pin == pin]


ARDUINO = {
    "PWM of nine pins": Tried(MANY + LOOP, every_duty, WINDOW_MS),
    "PWM of nine pins after main": Tried(
        "#include <Arduino.h>\n" + MANY.replace("void setup", "int main"), every_duty, WINDOW_MS, "c++"
    ),
    "pin written digitally and again by duty": Tried(
        MANY + "void loop() { delay(3000); digitalWrite(7, HIGH); delay(2000); analogWrite(7, 128); delay(9000); }\n",
        lambda t: (
            t.ok and not [ms for ms in at(t, 7) if 3020 < ms < 4980] and len([ms for ms in at(t, 7) if ms > 5100]) > 100
        ),
        7000,
    ),
    "tone and servo take timers from pins that software can switch": Tried(
        "#include <Servo.h>\nServo arm;\n"
        + setup(
            "analogWrite(4, 64); analogWrite(5, 128); analogWrite(6, 200); tone(8, 440); arm.attach(7); arm.write(90);"
        ),
        lambda t: (
            {(c.pin, c.frequency_hz) for c in t.pwm if c.duty} >= {(8, 440), (7, 50), (4, 1000)}
            and shares(t, p5=128, p6=200)
        ),
        WINDOW_MS,
    ),
    **{
        body: Tried("#include <Servo.h>\nServo all[4];\n" + setup(body), failed, 500)
        for body in (
            "for (int i = 0; i < 4; i++) all[i].attach(4 + i);",
            "tone(8, 20000);",
            "ledcAttach(4, 25000, 8);",
            "for (int pin = 4; pin < 8; pin++) ledcAttach(pin, 1000, 8);",
        )
    },
    **{
        body: Tried(setup(body), lambda t: (t.pwm[-1].pin, t.pwm[-1].frequency_hz, t.pwm[-1].duty) == (4, 5000, 64))
        for body in (
            "ledcAttachPin(4, 3); ledcSetup(3, 5000, 8); ledcWrite(3, 64);",
            "ledcAttach(4, 5000, 10); ledcWrite(4, 256);",
            "ledcAttachChannel(4, 5000, 12, 2); ledcWriteChannel(2, 1024);",
            "ledcSetup(0, 100, 8); ledcAttachPin(4, 0); ledcWrite(0, 64); ledcChangeFrequency(0, 5000, 8);",
        )
    },
    "greatest duty is fully on and a channel moves all its pins": Tried(
        setup("ledcSetup(0, 1000, 8); ledcAttachPin(4, 0); ledcAttachPin(5, 0); ledcWrite(0, 255);"),
        lambda t: t.ok and {change.pin: change.duty for change in t.pwm} == {4: 255, 5: 255},
    ),
    "Ticker repeats, passes a value and stops": Tried(
        "#include <Ticker.h>\nTicker blink, told, once;\nint times;\n"
        "void toggle() { digitalWrite(2, !digitalRead(2)); if (++times == 4) blink.detach(); }\n"
        'void tell(int value) { printf("told %d\\n", value); }\n'
        'void stop() { told.detach(); printf("active %d %d\\n", blink.active(), once.active()); }\n'
        + setup("pinMode(2, OUTPUT); blink.attach_ms(250, toggle); told.attach(0.5, tell, 7); once.once(1.2, stop);"),
        lambda t: (
            printed("told 7", "told 7", "active 0 0")(t) and [round(ms, -1) for ms in at(t, 2)] == [250, 500, 750, 1000]
        ),
    ),
    "Preferences": Tried(
        "#include <Preferences.h>\nPreferences kept;\n"
        'void show() { kept.begin("lamp"); printf("%u %s %d %d\\n", kept.getUInt("count", 1),'
        ' kept.getString("name", "-").c_str(), (int)kept.getBool("on"), (int)kept.isKey("gone")); }\n'
        + setup(
            'show(); kept.putUInt("count", 9); kept.putString("name", "desk"); kept.putBool("on", true);\n'
            ' Preferences other; other.begin("lamp"); other.putUInt("count", 10); other.putInt("gone", 1);\n'
            ' kept.remove("gone"); kept.end(); kept.begin("lamp", true); kept.clear(); kept.end(); show();'
        ),
        printed("1 - 0 0", "10 desk 1 0"),
    ),
    "write that was cut leaves the one before": Tried(
        "#include <Preferences.h>\n#include <fcntl.h>\n#include <unistd.h>\nPreferences kept;\n"
        + setup(
            'kept.begin("a"); kept.putInt("n", 1); kept.putInt("n", 2); kept.end();\n'
            ' for (int i = 0; i < 2; i++) { const char *path = i ? "/storage/prefs-a1" : "/storage/prefs-a0";\n'
            '  int fd = open(path, O_WRONLY | O_TRUNC); write(fd, "cut", 3); close(fd);\n'
            '  kept.begin("a"); printf("%d\\n", (int)kept.getInt("n", 0)); kept.end(); }'
        ),
        lambda t: t.ok and (sorted(t.log) == ["0", "1"] or t.log == ("2", "0")),
    ),
    "servo timers, critical sections and the heap": Tried(
        "#include <ESP32Servo.h>\nportMUX_TYPE lock = portMUX_INITIALIZER_UNLOCKED;\nServo arm;\nvolatile int count;\n"
        + setup(
            "ESP32PWM::allocateTimer(0); arm.setPeriodHertz(50); arm.attach(4, 500, 2400); arm.write(90);\n"
            " portENTER_CRITICAL(&lock); count++; portEXIT_CRITICAL(&lock);\n"
            " uint32_t before = ESP.getFreeHeap(); char *volatile taken = new char[2000];\n"
            ' printf("%d %d\\n", before > 2000, before - ESP.getFreeHeap() >= 2000); delete[] taken;'
        ),
        printed("1 1"),
    ),
    "polling methods of one name give way": Tried(
        """
class Wait {
  public:
    void until(unsigned long ms) { while (millis() < ms) {} }
    void until(int pin, int level) {
        int n = 0;
        for (int i = 0; i < 3; i++) n += i * level;
        while (digitalRead(pin) != level) {}
        count = n;
    }
    volatile int count = 0;
};
Wait wait;
void tick() { printf("tick\\n"); }
"""
        + setup('every(100, tick); wait.until(450ul); wait.until(4, LOW); printf("done %d\\n", wait.count);'),
        lambda t: t.ok and stripped(t)[:4] == ["tick"] * 4 and "done 0" in stripped(t),
        1000,
    ),
}  # fmt: skip

# Device files by name: LLMos's one file for all pins runs by a layer

FILES = "#include <fcntl.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n#include <unistd.h>\n"
BESIDE = Tried(
    f'{FILES}int main() {{ int fd = open("/dev/gpio", O_RDWR), pin = open("/dev/gpio/3", O_RDWR); char one = 1;\n'
    " int a = ioctl(fd, 0x1003, &one), b = ioctl(fd, 0x1002, 0), c = (int)write(pin, &one, 1);\n"
    ' printf("%d %d %d %d\\n", a, b, c, close(fd));\n return close(pin); }',
    lambda t: t.log == ("-1 -1 1 0",) and [(e.pin, e.level) for e in t.edges][:1] == [(3, 1)], 1000, "c",
)  # fmt: skip
DEVICE_FILES = {"other commands and files beside the layer": BESIDE}

# Undefined behaviour ends a program where it happens, with its line, in the trial as on the device

FAULTY = "#include <microclaw.h>\n#include <stdlib.h>\nvolatile int n = 4;\nint table[4] = {1, 2, 3, 4};\n"
FAULTS = {
    "global array": (
        'int main(void) {\n int s = 0;\n for (int i = 0; i <= n; i++)\n  s += table[i];\n printf("%d", s);\n}',
        8, "index 4 is outside 'int[4]'",
    ),
    "local array": (
        "int main(void) {\n char name[8];\n for (int i = 0; i < n + 6; i++)\n  name[i] = (char)i;\n"
        ' printf("%d", name[n]);\n}',
        8, "index 8 is outside 'char[8]'",
    ),
    "negative index": ('int main(void) {\n printf("%d", table[n - 5]);\n}', 6, "index -1 is outside 'int[4]'"),
    "index of 64 bits": (
        'int main(void) {\n long long at = n;\n printf("%d", table[at + 3]);\n}', 7, "index 7 is outside 'int[4]'"
    ),
    "second dimension": (
        'int grid[3][5];\nint main(void) {\n printf("%d", grid[1][n + 1]);\n}', 7, "index 5 is outside 'int[5]'"
    ),
    "shift": ('int main(void) {\n printf("%d", 1 << (n + 40));\n}', 6, "a shift by 44 of 'int'"),
    "division": ('int main(void) {\n printf("%d", 7 / (n - 4));\n}', 6, "a division by 0 of 'int'"),
    "null": (
        "int x;\nstatic int *find(int k) { return k > 9 ? &x : 0; }\nint main(void) {\n int *p = find(n);\n *p = 3;\n}",
        9, "a null pointer is used",
    ),
    "after a sleep": (
        "int main(void) {\n for (;;) {\n  table[n++] = 1;\n  delay(100);\n }\n}", 7, "index 4 is outside 'int[4]'"
    ),
    "in a task": (
        "static void task(void) {\n table[n++] = 1; }\nvoid on_init(void) { every(100, task); }",
        6, "index 4 is outside 'int[4]'",
    ),
}  # fmt: skip
LEVELS = [*((name, "Os", "zig") for name in FAULTS), ("null", "O0", "zig"), ("local array", "O3", "zig")]

DEFINED = Tried(  # unsigned numbers wrap, an index may be the last one, a shift may be by 31
    f"{FAULTY}int main(void) {{\n unsigned h = 5381;\n"
    " for (int i = 0; i < 100; i++) h = h * 33 + (unsigned)table[i % n];\n"
    ' printf("%u %u %d\\n", h, 1u << 31, table[3]);\n}',
    lambda t: t.ok and t.log[0].endswith(" 2147483648 4"), 1000, "c",
)  # fmt: skip
TRIED = {**ARDUINO, **DEVICE_FILES, "what is defined runs on": DEFINED}


@pytest.mark.parametrize("name", TRIED)
async def test_program_does_what_it_should(compile_c: Any, board: BoardProfile, name: str) -> None:
    case = TRIED[name]
    trial = await try_image(await compile_c(case.source, language=case.language), board, TrialOptions(for_ms=case.ms))
    assert case.holds(trial), trial


@pytest.mark.parametrize(("name", "level", "compiler"), [*LEVELS, ("local array", "O3", "clang")])
async def test_fault_is_named_with_its_line(
    compile_c: Any, board: BoardProfile, monkeypatch: pytest.MonkeyPatch, name: str, level: str, compiler: str
) -> None:
    source, line, what = FAULTS[name]
    with monkeypatch.context() as patch:
        patch.setenv("MICROCLAW_COMPILER", compiler)
        image = await compile_c(FAULTY + source, optimization=level)
    trial = await try_image(image, board, TrialOptions(for_ms=1000))
    assert not trial.ok
    assert trial.error == f"it trapped at line {line}: {what}"
    assert (trial.next_step or "").startswith(f"correct line {line}, column ")


@pytest.mark.parametrize(
    ("source", "line", "word"),
    [
        ("void f() {}\n" + setup("attachInterrupt(4, f, RISING);"), 2, ""),
        (
            "int pins[] = {2, 4, 5, 6};\n" + setup("for (int p : pins) analogWrite(p, 90);", EMPTY),
            2,
            "switched by a timer",
        ),
        *((f"\n{setup(f'Serial.println(Serial.{read}());')}", 2, "") for read in ("available", "read", "readString")),
        (setup("Serial.println(Serial.parseInt());"), 1, ""),
        (setup("analogWrite(2, 10); analogWrite(4, 20); analogWrite(5, 30);"), None, ""),
    ],
)
async def test_what_works_otherwise_than_on_arduino_is_warned_of(
    compile_c: Any, source: str, line: int | None, word: str
) -> None:
    warnings = (await compile_c(source, language="sketch")).warnings
    assert [warning.line for warning in warnings if word in warning.message] == ([] if line is None else [line])


# LLMos

LLMOS = (
    FILES + '#define GPIO_DEV "/dev/gpio"\n#define GPIO_CMD_SET_DIRECTION 0x1001\n#define GPIO_CMD_SET_LEVEL 0x1002\n'
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
