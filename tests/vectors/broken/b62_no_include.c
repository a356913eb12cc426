int main(void) {
    int led = gpio_open(2, GPIO_OUT);
    for (;;) {
        gpio_toggle(led);
        delay(500);
        printf("hi\n");
    }
}
