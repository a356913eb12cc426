#include <microclaw.h>

#define STABLE_MS 30

/* A button as it bounces: the level every 10 ms. */
static const char bounces[] = "1110101000000000001010111111110010000001111";

typedef struct {
    int level;
    int candidate;
    unsigned since_ms;
    int presses;
} button_t;

static int update(button_t *b, int raw, unsigned now_ms)
{
    if (raw != b->candidate) {
        b->candidate = raw;
        b->since_ms = now_ms;
        return 0;
    }
    if (raw == b->level || now_ms - b->since_ms < STABLE_MS) {
        return 0;
    }
    b->level = raw;
    if (raw == 0) {
        b->presses++;
    }
    return 1;
}

int main(void)
{
    button_t b = {.level = 1, .candidate = 1};
    unsigned start = millis();
    for (int i = 0; bounces[i]; i++) {
        unsigned now = (unsigned)i * 10;
        if (update(&b, bounces[i] - '0', now)) {
            printf("%3u ms: %s\n", now, b.level ? "released" : "pressed");
        }
        delay(10);
    }
    printf("%d presses, waited %s\n", b.presses, millis() - start >= 430 ? "enough" : "too little");
    return 0;
}
