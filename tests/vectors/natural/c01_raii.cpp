#include "microclaw.h"

class Output {
public:
    explicit Output(int pin) : gpio_(gpio_open(pin, GPIO_OUT)) { gpio_set(gpio_, 1); }
    ~Output() { gpio_set(gpio_, 0); }
    Output(const Output &) = delete;

private:
    int gpio_;
};

int main()
{
    for (int i = 0; i < 2; i++) {
        {
            Output led(2);
            delay(200);
        }
        delay(800);
    }
    return 0;
}
