#include "driver/uart.h"

void app_main(void)
{
    uart_config_t config = {.baud_rate = 115200, .data_bits = UART_DATA_8_BITS};
    uart_driver_install(UART_NUM_1, 256, 0, 0, NULL, 0);
    uart_param_config(UART_NUM_1, &config);
    uint8_t data[64];
    while (1) {
        int n = uart_read_bytes(UART_NUM_1, data, sizeof(data), 100);
        uart_write_bytes(UART_NUM_1, data, n);
    }
}
