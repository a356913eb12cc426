/* Our program for acts at a stock board's pins, HAS_PWM and HAS_I2C as its firmware has them (pin_acts.py).
   Closing a pin turns its driver off (esp-iot-solution, ext_vfs_gpio.c), and so does the end of the program: a level
   lasts exactly as long as this program is on the board. */
#include <microclaw.h>
#include <wa-inc/request.h>
#if HAS_I2C
#include <fcntl.h>
#include <i2c.h>
#include <unistd.h>
#endif
enum { PINS = 64, ASKED = 16, TEXT = 1024 };
static short gpio[PINS], pwm[PINS]; /* + 1; 0: not open */
static int asked[ASKED], asked_count, used;
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

#if HAS_PWM
static int hz[PINS];

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
#else
static void stop_pwm(int pin) { (void)pin; }
static void set_pwm(void) { word = "bad"; }
#endif

#if HAS_I2C
static void scan(void) {
    int fd = open("/dev/i2c/0", O_RDWR);
    i2c_cfg_t cfg = {.sda_pin = BOARD_I2C_SDA, .scl_pin = BOARD_I2C_SCL,
                     .flags = I2C_MASTER | I2C_SDA_PULLUP | I2C_SCL_PULLUP, .master.clock = 100000};
    if (fd < 0 || ioctl(fd, I2CIOCSCFG, &cfg) < 0) {
        word = "busy";
    }
    for (int address = 0x08; fd >= 0 && address < 0x78; address++) {
        uint8_t byte;
        i2c_msg_t message = {.flags = I2C_MSG_CHECK_ACK, .addr = (uint16_t)address, .buffer = &byte, .size = 1};
        if (ioctl(fd, I2CIOCRDWR, &message) >= 0) {
            add(address);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* Written by pin_program.py: adds thousandths of the sensor's readings, 0; or -1. */
static int read_sensor(const char *what, int i2c, int address);

/* Of the sensor at the first of the addresses at which one answers. */
static void read_first(const char *what, int i2c) {
    for (int i = 0; i < asked_count; i++) {
        if (read_sensor(what, i2c, asked[i]) == 0) {
            return;
        }
    }
    word = "nobody";
}

static void use_i2c(const char *what) {
    if (strcmp(what, "scan") == 0) {
        scan();
        return;
    }
    int i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    if (i2c < 0) {
        word = "busy";
    } else {
        read_first(what, i2c);
        i2c_close(i2c);
    }
}
#else
static void use_i2c(const char *what) { (void)what; word = "bad"; }
#endif

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
    int i = -1;
    memset(asked, 0, sizeof asked);
    for (; *url; url++) {
        if (*url == '/') {
            *url = 0;
            i++;
        } else if (i >= 0 && i < ASKED && *url >= '0' && *url <= '9' && asked[i] < 1000000) {
            asked[i] = asked[i] * 10 + *url - '0';
        }
    }
    asked_count = i + 1 < ASKED ? i + 1 : ASKED;
}

static void handle(request_t *request) {
    static char what[128];
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
