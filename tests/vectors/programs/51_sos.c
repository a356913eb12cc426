#include <microclaw.h>
#include <unistd.h>

#define UNIT_US 100000

static int led;
static int length_units, count;
static char shown[32];

static void blink(int units)
{
    gpio_set(led, 1);
    shown[count++] = units == 3 ? '-' : '.';
    usleep(units * UNIT_US);
    gpio_set(led, 0);
    usleep(UNIT_US);
    length_units += units + 1;
}

static void letter(int units)
{
    for (int i = 0; i < 3; i++) {
        blink(units);
    }
    shown[count++] = ' ';
    usleep(2 * UNIT_US);
    length_units += 2;
}

int main(void)
{
    led = gpio_open(2, GPIO_OUT);
    if (led < 0) {
        printf("no LED\n");
        return 1;
    }
    for (int round = 0; round < 2; round++) {
        letter(1);
        letter(3);
        letter(1);
        shown[count] = 0;
        count = 0;
        printf("%s(%d units)\n", shown, length_units);
        sleep(1);
    }
    return 0;
}
