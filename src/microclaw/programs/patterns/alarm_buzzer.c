/* Alarm buzzer: while the contact is closed to ground, the buzzer
 * beeps: BEEP_MS of tone, BEEP_MS of silence. */
#include "microclaw.h"

#define CONTACT_PIN 4
#define BUZZER_PIN 5
#define FREQUENCY_HZ 2000
#define BEEP_MS 300
#define LOOK_MS 20

static int contact, buzzer, is_on, in_ms = -1;

static void look(void) {
    if (gpio_get(contact)) {
        in_ms = -1;
    } else {
        in_ms = in_ms < 0 ? 0 : (in_ms + LOOK_MS) % (2 * BEEP_MS);
    }
    int sounds = in_ms >= 0 && in_ms < BEEP_MS;
    if (sounds != is_on) {
        pwm_set(buzzer, sounds ? 128 : 0);
        is_on = sounds;
    }
}

void on_init(void) {
    contact = gpio_open(CONTACT_PIN, GPIO_IN | GPIO_PULLUP);
    buzzer = pwm_open(BUZZER_PIN, FREQUENCY_HZ);
    every(LOOK_MS, look);
}
