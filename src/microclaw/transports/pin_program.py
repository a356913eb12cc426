"""Our program for acts at a stock board's pins: source, how it is asked, what it answers. Installs nothing itself.

Stock firmware has no requests for pins. Closing a pin turns its driver off (esp-iot-solution, ext_vfs_gpio.c), and so
does the end of the program: a level lasts exactly as long as this program is on the board.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from microclaw.boards.profile import BoardProfile
from microclaw.devices.calls import (
    Call,
    GpioGet,
    GpioSet,
    I2cAddresses,
    I2cRead,
    I2cScan,
    PinLevel,
    PwmSet,
    PwmState,
    SensorReading,
)
from microclaw.devices.transport import HeldAs
from microclaw.errors import CallRejected, ProtocolError

PIN_PROGRAM: Final = "microclaw-pins"
HEAP_BYTES: Final = 2048
TIMERS: Final = 4
HELD_URL: Final = "pins/held"
MAX_PWM_HZ: Final = 9000  # pwm_open's, of LEDC's 13 bits

_ADDRESSES: Final[Mapping[str, tuple[int, ...]]] = {"bme280": (0x76, 0x77), "ina219": (0x40,)}
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "bme280": ("temperature_c", "humidity_pct", "pressure_hpa"),
    "ina219": ("voltage_v", "current_ma", "power_mw"),
}
_ANSWER: Final = re.compile(r"(ok|busy|bad|nobody)((?: -?\d{1,10}){0,128});((?: \d{1,2}[gp]){0,64})")
_REASONS: Final = {
    "busy": ("the firmware refused to open it: a program on the board has it open", "see which: microclaw app list"),
    "bad": ("the program for pins cannot do that", "see what the board offers: microclaw device show"),
    "nobody": ("nobody answered on the I2C bus", "check the wires and the address: i2c.scan"),
}


class PinAnswer(Struct, frozen=True):
    """The answer of the program: its word, numbers, and by pin what it holds there."""

    word: str
    numbers: tuple[int, ...]
    held: Mapping[int, HeldAs]


def pin_methods(board: BoardProfile) -> frozenset[str]:
    """The methods that the program has with this board's firmware."""
    nodes = board.firmware.device_nodes
    offered = {"gpio.set", "gpio.get"} if "gpio" in nodes else set[str]()
    offered |= {"pwm.set"} if "ledc" in nodes else set()
    offered |= {"i2c.scan", "i2c.read"} if "i2c" in nodes and board.i2c is not None else set()
    needed = ("wasm_register_resource", "wasm_response_send")
    has_requests = all(board.firmware.has_native(name, "app_framework") for name in needed)
    return frozenset(offered) if has_requests else frozenset()


def pin_url(board: BoardProfile, call: Call[Any]) -> str:
    """The url that asks for this call. Raises CallRejected for what the program cannot do."""
    match call:
        case GpioSet(pin=pin, level=level):
            return f"pins/set/{pin}/{level}"
        case GpioGet(pin=pin):
            return f"pins/get/{pin}"
        case PwmSet(pin=pin, duty=duty, frequency_hz=frequency_hz):
            if frequency_hz > MAX_PWM_HZ:
                text = f"this firmware's PWM goes up to {MAX_PWM_HZ} Hz, not {frequency_hz}"
                raise CallRejected(text, next_step="5000 Hz suits an LED")
            return f"pins/pwm/{pin}/{duty}/{frequency_hz}"
        case I2cScan():
            return "pins/scan"
        case I2cRead(sensor=sensor):
            if sensor not in _FIELDS or board.i2c is None:
                raise CallRejected(
                    f"there is no driver for {sensor[:32]!r} here", next_step=f"there are {', '.join(sorted(_FIELDS))}"
                )
            first, *others = _ADDRESSES[sensor]
            known = board.i2c.sensors.get(sensor, first)
            return f"pins/{sensor}/{known}/{next(iter(others), known)}"
        case _:
            raise AssertionError(f"{call.method} is not asked of the program for pins")


def read_answer(payload: bytes) -> PinAnswer:
    """ProtocolError for what our program does not answer."""
    text = payload[:1024].decode("ascii", "replace")
    found = _ANSWER.fullmatch(text)
    if found is None:
        raise ProtocolError(f"{PIN_PROGRAM} answered {text[:80]!r}")
    held: dict[int, HeldAs] = {int(word[:-1]): "level" if word[-1] == "g" else "pwm" for word in found[3].split()}
    return PinAnswer(found[1], tuple(map(int, found[2].split())), held)


def pin_result(call: Call[Any], answer: PinAnswer) -> Any:
    """The result of the call. Raises CallRejected for a refusal, ProtocolError for numbers that do not fit the call."""
    if answer.word != "ok":
        reason, step = _REASONS[answer.word]
        raise CallRejected(f"{call.method}: {reason}", next_step=step)
    match call, answer.numbers:
        case (GpioSet(pin=pin) | GpioGet(pin=pin), (level,)):
            return PinLevel(pin, level)
        case (PwmSet(pin=pin), (duty, frequency_hz)):
            return PwmState(pin, duty, frequency_hz)
        case (I2cScan(), addresses):
            return I2cAddresses(addresses)
        case (I2cRead(sensor=sensor), numbers) if len(numbers) == len(_FIELDS[sensor]):
            values = {name: number / 1000 for name, number in zip(_FIELDS[sensor], numbers, strict=True)}
            return SensorReading(sensor, values)
    raise ProtocolError(f"{PIN_PROGRAM} answered {call.method} with {len(answer.numbers)} numbers")


def pin_source(board: BoardProfile) -> str:
    """The program in C, with the parts that this firmware has."""
    methods = pin_methods(board)
    return _SOURCE.replace("//PWM", _PWM if "pwm.set" in methods else _NO_PWM).replace(
        "//I2C", _I2C if "i2c.scan" in methods else _NO_I2C
    )


_NO_PWM: Final = 'static void stop_pwm(int pin) { (void)pin; }\nstatic void set_pwm(void) { word = "bad"; }'
_PWM: Final = """
static void stop_pwm(int pin) {
    if (pwm[pin]) {
        pwm_close(pwm[pin] - 1);
        pwm[pin] = 0;
    }
}

static void set_pwm(void) {
    int pin = asked[0], duty = asked[1];
    if (pin >= PINS || duty > 255) {
        word = "bad";
        return;
    }
    stop_gpio(pin);
    if (!duty || hz[pin] != asked[2]) {
        stop_pwm(pin);
    }
    if (duty && !pwm[pin]) {
        pwm[pin] = (short)(pwm_open(pin, asked[2]) + 1);
        hz[pin] = asked[2];
    }
    if (duty && !pwm[pin]) {
        word = "busy";
        return;
    }
    if (duty) {
        pwm_set(pwm[pin] - 1, duty);
    }
    add(duty);
    add(asked[2]);
}
"""
_NO_I2C: Final = 'static void use_i2c(const char *what) { (void)what; word = "bad"; }'
_I2C: Final = """
#include <fcntl.h>
#include <i2c.h>
#include <unistd.h>
enum { FIRST_I2C = 0x300 }; /* what i2c_open adds to its file, which it keeps open: this one is closed */

static void scan(int fd) {
    for (int address = 0x08; address < 0x78; address++) {
        uint8_t byte;
        i2c_msg_t message = {.flags = I2C_MSG_CHECK_ACK, .addr = (uint16_t)address, .buffer = &byte, .size = 1};
        if (ioctl(fd, I2CIOCRDWR, &message) >= 0) {
            add(address);
        }
    }
}

static int read_sensor(const char *what, int i2c, int address) {
    bme280_t air;
    ina219_t power;
    if (strcmp(what, "bme280") == 0 && bme280_read(i2c, address, &air) == 0) {
        add((int)(air.temperature_c * 1000));
        add((int)(air.humidity_pct * 1000));
        add((int)(air.pressure_hpa * 1000));
        return 0;
    }
    if (strcmp(what, "ina219") == 0 && ina219_read(i2c, address, &power) == 0) {
        add((int)(power.voltage_v * 1000));
        add((int)(power.current_ma * 1000));
        add((int)(power.power_mw * 1000));
        return 0;
    }
    return -1;
}

static void use_i2c(const char *what) {
    int fd = open("/dev/i2c/0", O_RDWR);
    i2c_cfg_t cfg = {.sda_pin = BOARD_I2C_SDA, .scl_pin = BOARD_I2C_SCL,
                     .flags = I2C_MASTER | I2C_SDA_PULLUP | I2C_SCL_PULLUP, .master.clock = 100000};
    if (fd < 0 || ioctl(fd, I2CIOCSCFG, &cfg) < 0) {
        word = "busy";
    } else if (strcmp(what, "scan") == 0) {
        scan(fd);
    } else if (read_sensor(what, fd + FIRST_I2C, asked[0]) && read_sensor(what, fd + FIRST_I2C, asked[1])) {
        word = "nobody";
    }
    if (fd >= 0) {
        close(fd);
    }
}
"""
_SOURCE: Final = """
#include <microclaw.h>
#include <wa-inc/request.h>
enum { PINS = 64, ASKED = 3, TEXT = 1024 };
static short gpio[PINS], pwm[PINS]; /* + 1; 0: not open */
static int hz[PINS], asked[ASKED], used;
static const char *word;
static char numbers[TEXT / 2], text[TEXT];

static void add(int number) {
    int left = (int)sizeof numbers - used;
    int size = snprintf(numbers + used, (size_t)left, " %d", number);
    used += size < left ? size : 0;
}

static void stop_gpio(int pin) {
    if (gpio[pin]) {
        gpio_close(gpio[pin] - 1);
        gpio[pin] = 0;
    }
}
//PWM
//I2C
static void set_gpio(void) {
    int pin = asked[0];
    if (pin >= PINS) {
        word = "bad";
        return;
    }
    stop_pwm(pin);
    if (!gpio[pin]) {
        gpio[pin] = (short)(gpio_open(pin, GPIO_OUT) + 1);
    }
    if (!gpio[pin]) {
        word = "busy";
        return;
    }
    gpio_set(gpio[pin] - 1, asked[1]);
    add(gpio_get(gpio[pin] - 1));
}

static void get_gpio(void) {
    int pin = asked[0];
    if (pin >= PINS || pwm[pin]) {
        word = "bad";
        return;
    }
    int open = gpio[pin] ? gpio[pin] - 1 : gpio_open(pin, GPIO_IN);
    if (open < 0) {
        word = "busy";
        return;
    }
    add(gpio_get(open));
    if (!gpio[pin]) {
        gpio_close(open);
    }
}

/* NAME/1/2/3, the numbers behind it into `asked`. */
static void split(char *url) {
    for (int i = 0; i < ASKED; i++) {
        asked[i] = 0;
    }
    for (int i = -1; *url; url++) {
        if (*url == '/') {
            *url = 0;
            i++;
        } else if (i >= 0 && i < ASKED && *url >= '0' && *url <= '9' && asked[i] < 1000000) {
            asked[i] = asked[i] * 10 + *url - '0';
        }
    }
}

static void handle(request_t *request) {
    static char what[64];
    const char *url = strchr(request->url, '/');
    response_t response;
    used = 0;
    numbers[0] = 0;
    word = "ok";
    snprintf(what, sizeof what, "%s", url ? url + 1 : "");
    split(what);
    if (strcmp(what, "set") == 0) {
        set_gpio();
    } else if (strcmp(what, "get") == 0) {
        get_gpio();
    } else if (strcmp(what, "pwm") == 0) {
        set_pwm();
    } else if (strcmp(what, "held")) {
        use_i2c(what);
    }
    int size = snprintf(text, sizeof text, "%s%s;", word, numbers);
    for (int pin = 0; pin < PINS; pin++) {
        if (gpio[pin] || pwm[pin]) {
            size += snprintf(text + size, sizeof text - (size_t)size, " %d%c", pin, gpio[pin] ? 'g' : 'p');
        }
    }
    make_response_for_request(request, &response);
    set_response(&response, CONTENT_2_05, FMT_APP_RAW_BINARY, text, size);
    api_response_send(&response);
}

void on_init(void) { api_register_resource_handler("pins", handle); }
"""
