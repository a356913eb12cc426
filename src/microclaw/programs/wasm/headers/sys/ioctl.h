/* sys/ioctl.h: settings of device nodes; the commands and their structs are in gpio.h, i2c.h, ledc.h and spi.h. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
int ioctl(int fd, int command, ...);
#ifdef __cplusplus
}
#endif
