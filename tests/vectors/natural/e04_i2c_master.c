#include <stdio.h>
#include "driver/i2c_master.h"

void app_main(void)
{
    i2c_master_bus_config_t config = {
        .i2c_port = I2C_NUM_0, .sda_io_num = 8, .scl_io_num = 9, .clk_source = I2C_CLK_SRC_DEFAULT};
    i2c_master_bus_handle_t bus;
    i2c_new_master_bus(&config, &bus);
    for (int address = 1; address < 127; address++) {
        if (i2c_master_probe(bus, address, 50) == ESP_OK) {
            printf("found 0x%02x\n", address);
        }
    }
}
