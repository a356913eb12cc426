#include <cstdio>
#include "microclaw.h"

enum class State { red, green, yellow };

constexpr unsigned duration_ms(State state)
{
    switch (state) {
    case State::red:
        return 900;
    case State::green:
        return 600;
    case State::yellow:
        return 300;
    }
    return 0;
}

int main()
{
    const int pins[] = {5, 17, 18};
    int lamps[3];
    for (int i = 0; i < 3; i++) {
        lamps[i] = gpio_open(pins[i], GPIO_OUT);
    }
    State state = State::red;
    while (true) {
        for (int i = 0; i < 3; i++) {
            gpio_set(lamps[i], i == static_cast<int>(state));
        }
        delay(duration_ms(state));
        state = state == State::yellow ? State::red : static_cast<State>(static_cast<int>(state) + 1);
    }
}
