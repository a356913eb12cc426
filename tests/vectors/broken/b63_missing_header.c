#include "led.h"
#include "config.h"
int main(void) {
    led_init(LED_PIN);
    led_on();
    Led_t x;
    return x.state;
}
