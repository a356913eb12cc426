#include <microclaw.h>

int main(void)
{
    int lamp = pwm_open(4, 1000);
    if (lamp < 0) {
        printf("no PWM\n");
        return 1;
    }
    int duty = 0, step = 51, turns = 0;
    while (turns < 2) {
        pwm_set(lamp, duty);
        printf("duty %3d %.*s\n", duty, duty / 17, "###############");
        duty += step;
        if (duty > 255 || duty < 0) {
            step = -step;
            duty += 2 * step;
            turns++;
        }
        delay(40);
    }
    pwm_close(lamp);
    return 0;
}
