#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define TARGET 21.0
#define HYSTERESIS 0.5

int main()
{
    double room = 19.0;
    bool heating = false;
    int switched = 0;
    for (int minute = 0; minute < 30; minute++) {
        if (!heating && room < TARGET - HYSTERESIS) {
            heating = true;
            switched++;
            printf("%02d: %.2f C, heater on\n", minute, room);
        } else if (heating && room > TARGET + HYSTERESIS) {
            heating = false;
            switched++;
            printf("%02d: %.2f C, heater off\n", minute, room);
        }
        room += heating ? 0.4 : -0.25;
        usleep(500000);
    }
    printf("switched %d times, now %.2f C\n", switched, room);
    return 0;
}
