/* ESP.getFreeHeap: the firmware does not tell, so the heap is asked for blocks. */
#include <Arduino.h>

#define MOST (1u << 20)

EspClass ESP;

uint32_t EspClass::getFreeHeap() {
    uint32_t free_bytes = 0;
    for (uint32_t step = MOST; step >= 16; step /= 2) {
        void *volatile block = malloc(free_bytes + step); /* or the compiler leaves it out */
        if (block) {
            free(block);
            free_bytes += step;
        }
    }
    return free_bytes;
}
