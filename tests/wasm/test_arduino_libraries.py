"""What sketches take from the ESP32's core: ledc, Ticker, EEPROM, Preferences, critical sections, ESP, servo timers."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.profile import BoardProfile

LOOP = "void loop() { delay(1000); }\n"


async def tried(compile_c: Any, board: BoardProfile, source: str, for_ms: int = 3000) -> Trial:
    return await try_image(await compile_c(source, language="sketch"), board, TrialOptions(for_ms=for_ms))


@pytest.mark.parametrize(
    "setup",
    [
        "ledcAttachPin(4, 3); ledcSetup(3, 5000, 8); ledcWrite(3, 64);",
        "ledcAttach(4, 5000, 10); ledcWrite(4, 256);",
        "ledcAttachChannel(4, 5000, 12, 2); ledcWriteChannel(2, 1024);",
        "ledcSetup(0, 100, 8); ledcAttachPin(4, 0); ledcWrite(0, 64); ledcChangeFrequency(0, 5000, 8);",
    ],
)
async def test_ledc_by_channel_and_by_pin(compile_c: Any, board: BoardProfile, setup: str) -> None:
    image = await compile_c(f"void setup() {{ {setup} }}\n{LOOP}", language="sketch")
    assert image.pins == (4,)
    last = (await try_image(image, board, TrialOptions())).pwm[-1]
    assert (last.pin, last.frequency_hz, last.duty) == (4, 5000, 64)


async def test_greatest_duty_is_fully_on_and_a_channel_moves_all_its_pins(compile_c: Any, board: BoardProfile) -> None:
    setup = "ledcSetup(0, 1000, 8); ledcAttachPin(4, 0); ledcAttachPin(5, 0); ledcWrite(0, 255);"
    trial = await tried(compile_c, board, f"void setup() {{ {setup} }}\n{LOOP}")
    assert trial.ok, trial.error
    assert {change.pin: change.duty for change in trial.pwm} == {4: 255, 5: 255}


@pytest.mark.parametrize(
    "setup",
    ["ledcAttach(4, 25000, 8);", "for (int pin = 4; pin < 8; pin++) ledcAttach(pin, 1000, 8);"],
)
async def test_what_the_hardware_cannot_do_fails_the_trial(compile_c: Any, board: BoardProfile, setup: str) -> None:
    assert not (await tried(compile_c, board, f"void setup() {{ {setup} }}\n{LOOP}", 500)).ok


async def test_ticker_repeats_passes_a_value_and_stops(compile_c: Any, board: BoardProfile) -> None:
    source = (
        "#include <Ticker.h>\nTicker blink, told, once;\nint times;\n"
        "void toggle() { digitalWrite(2, !digitalRead(2)); if (++times == 4) blink.detach(); }\n"
        'void tell(int value) { printf("told %d\\n", value); }\n'
        'void stop() { told.detach(); printf("active %d %d\\n", blink.active(), once.active()); }\n'
        "void setup() { pinMode(2, OUTPUT); blink.attach_ms(250, toggle);\n"
        " told.attach(0.5, tell, 7); once.once(1.2, stop); }\n"
    )
    trial = await tried(compile_c, board, source + LOOP)
    assert trial.ok, trial.error
    assert [round(edge.t_ms, -1) for edge in trial.edges if edge.pin == 2] == [250, 500, 750, 1000]
    assert trial.log == ("told 7", "told 7", "active 0 0")


KEPT = {
    "eeprom": (
        "#include <EEPROM.h>\nstruct Kept { int count; float share; };\n"
        "void show() { Kept kept; EEPROM.begin(64); EEPROM.get(8, kept);\n"
        ' printf("%d %d %d\\n", EEPROM.read(0), kept.count,'
        " kept.count < 0 ? 0 : (int)(kept.share * 10)); }\n"
        "void setup() { show(); EEPROM.write(0, 42); EEPROM.put(8, Kept{5, 2.5f});\n"
        " EEPROM.commit(); EEPROM.end(); show(); }\n",
        ("255 -1 0", "42 5 25"),
    ),
    "preferences": (
        "#include <Preferences.h>\nPreferences kept;\n"
        'void show() { kept.begin("lamp"); printf("%u %s %d %d\\n", kept.getUInt("count", 1),'
        ' kept.getString("name", "-").c_str(), (int)kept.getBool("on"), (int)kept.isKey("gone")); }\n'
        'void setup() { show(); kept.putUInt("count", 9); kept.putString("name", "desk"); kept.putBool("on", true);\n'
        ' Preferences other; other.begin("lamp"); other.putUInt("count", 10); other.putInt("gone", 1);\n'
        ' kept.remove("gone"); kept.end(); kept.begin("lamp", true); kept.clear(); kept.end(); show(); }\n',
        ("1 - 0 0", "10 desk 1 0"),
    ),
}


@pytest.mark.parametrize("name", KEPT)
async def test_values_are_kept_in_files(compile_c: Any, board: BoardProfile, name: str) -> None:
    source, wanted = KEPT[name]
    trial = await tried(compile_c, board, source + LOOP)
    assert trial.ok, trial.error
    assert trial.log == wanted


async def test_write_that_was_cut_leaves_the_one_before(compile_c: Any, board: BoardProfile) -> None:
    source = (
        "#include <Preferences.h>\n#include <fcntl.h>\n#include <unistd.h>\nPreferences kept;\nvoid setup() {\n"
        ' kept.begin("a"); kept.putInt("n", 1); kept.putInt("n", 2); kept.end();\n'
        ' for (int i = 0; i < 2; i++) { const char *path = i ? "/storage/prefs-a1" : "/storage/prefs-a0";\n'
        '  int fd = open(path, O_WRONLY | O_TRUNC); write(fd, "cut", 3); close(fd);\n'
        '  kept.begin("a"); printf("%d\\n", (int)kept.getInt("n", 0)); kept.end(); }\n}\n'
    )
    trial = await tried(compile_c, board, source + LOOP)
    assert trial.ok, trial.error
    assert sorted(trial.log) == ["0", "1"] or trial.log == ("2", "0")


async def test_servo_timers_critical_sections_and_the_heap_are_there(compile_c: Any, board: BoardProfile) -> None:
    source = (
        "#include <ESP32Servo.h>\nportMUX_TYPE lock = portMUX_INITIALIZER_UNLOCKED;\nServo arm;\nvolatile int count;\n"
        "void setup() { ESP32PWM::allocateTimer(0); arm.setPeriodHertz(50); arm.attach(4, 500, 2400); arm.write(90);\n"
        " portENTER_CRITICAL(&lock); count++; portEXIT_CRITICAL(&lock);\n"
        " uint32_t before = ESP.getFreeHeap(); char *volatile taken = new char[2000];\n"
        ' printf("%d %d\\n", before > 2000, before - ESP.getFreeHeap() >= 2000); delete[] taken; }\n'
    )
    trial = await tried(compile_c, board, source + LOOP)
    assert trial.ok, trial.error
    assert trial.log == ("1 1",)
