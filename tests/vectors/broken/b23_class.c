#include <microclaw.h>

class Led {
public:
    Led(int pin) { gpio = gpio_open(pin, GPIO_OUT); }
    void on() { gpio_set(gpio, 1); }

private:
    int gpio;
};

int main(void)
{
    Led led(2);
    led.on();
    return 0;
}
