/* Ticker: every timer of microclaw.h gets a function of its own, which knows whose task it is. */
#include <Ticker.h>

#define SLOTS 16

static struct {
    int timer; /* as every and after returned it */
    bool used, once;
    void (*plain)();
    void (*task)(void *);
    void *value;
} slots[SLOTS];

template <int N> static void fire() {
    auto slot = slots[N]; /* the task may start this one anew */
    slots[N].used = !slot.once;
    slot.plain ? slot.plain() : slot.task(slot.value);
}

static void (*const FIRE[SLOTS])() = {fire<0>, fire<1>, fire<2>, fire<3>, fire<4>, fire<5>, fire<6>, fire<7>,
                                      fire<8>, fire<9>, fire<10>, fire<11>, fire<12>, fire<13>, fire<14>, fire<15>};

static int begin(uint32_t ms, bool once, void (*plain)(), void (*task)(void *), void *value) {
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].used) {
            continue;
        }
        int timer = once ? after(ms, FIRE[i]) : every(ms, FIRE[i]);
        if (timer < 0) {
            break;
        }
        slots[i] = {timer, true, once, plain, task, value};
        return i;
    }
    printf("Ticker: no timer is left, a program has 16\n");
    return -1;
}

void Ticker::start_(uint32_t ms, bool once, void (*task)()) {
    detach();
    slot_ = begin(ms, once, task, nullptr, nullptr);
    timer_ = slot_ < 0 ? -1 : slots[slot_].timer;
}

void Ticker::start_(uint32_t ms, bool once, void (*task)(void *), void *value) {
    detach();
    slot_ = begin(ms, once, nullptr, task, value);
    timer_ = slot_ < 0 ? -1 : slots[slot_].timer;
}

bool Ticker::active() const { return slot_ >= 0 && slots[slot_].used && slots[slot_].timer == timer_; }

void Ticker::detach() {
    if (active()) {
        cancel(timer_);
        slots[slot_].used = false;
    }
    slot_ = -1;
}
