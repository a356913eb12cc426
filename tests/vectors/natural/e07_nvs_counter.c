#include <stdio.h>
#include "nvs_flash.h"
#include "nvs.h"

void app_main(void)
{
    nvs_handle_t handle;
    int32_t boots = 0;
    nvs_flash_init();
    nvs_open("storage", NVS_READWRITE, &handle);
    nvs_get_i32(handle, "boots", &boots);
    nvs_set_i32(handle, "boots", ++boots);
    nvs_commit(handle);
    printf("boot %ld\n", boots);
}
