/* delay and its kin where main does not sleep by our shim: the firmware's own waiting, which blocks the whole app. */
#include <unistd.h>

#define CHUNK_MS 1000000u

void delay(unsigned ms) {
    for (; ms > CHUNK_MS; ms -= CHUNK_MS) {
        sleep(CHUNK_MS / 1000);
    }
    usleep(ms * 1000);
}

void delay_ms(unsigned ms) { delay(ms); }
