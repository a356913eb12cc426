/* sys/ioctl.h: settings of device nodes; the commands and their structs are in gpio.h, i2c.h, ledc.h and spi.h. */
#pragma once
#ifdef MICROCLAW_LLMOS
#pragma push_macro("__asm__")
#undef __asm__
int ioctl(int fd, int command, ...) __asm__("microclaw_llmos_ioctl");
#pragma pop_macro("__asm__")
#else
int ioctl(int fd, int command, ...);
#endif
