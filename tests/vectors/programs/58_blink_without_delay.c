#include <microclaw.h>

int main(void)
{
    int led = gpio_open(2, GPIO_OUT);
    unsigned last_blink = millis(), last_report = millis();
    int level = 0, blinks = 0, reports = 0;
    while (reports < 3) {
        unsigned now = millis();
        if (now - last_blink >= 200) {
            last_blink += 200;
            level = !level;
            gpio_set(led, level);
            blinks++;
        }
        if (now - last_report >= 1000) {
            last_report += 1000;
            reports++;
            printf("report %d: %d changes, pin %d\n", reports, blinks, gpio_get(led) == level);
        }
        delay(5);
    }
    return 0;
}
