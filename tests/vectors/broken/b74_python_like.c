#include <microclaw.h>
int main(void) {
    led = Pin(2, Pin.OUT)
    while True:
        led.toggle()
        sleep(1)
}
