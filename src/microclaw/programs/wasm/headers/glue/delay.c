/* delay and delay_ms by the firmware's own waiting, which blocks the whole app; where main sleeps, the shim's are linked
 * instead. */
#include <unistd.h>

#define CHUNK_MS 1000000u

void delay(unsigned ms) {
    for (; ms > CHUNK_MS; ms -= CHUNK_MS) {
        sleep(CHUNK_MS / 1000);
    }
    usleep(ms * 1000);
}

void delay_ms(unsigned ms) { delay(ms); }
