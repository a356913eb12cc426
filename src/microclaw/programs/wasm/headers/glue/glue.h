/* glue.h: what the glue's files share. Programs cannot include it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Open NODES with a number behind it; -1 when the firmware refuses. Remembered, and closed when the program ends. NODES is
 * whole, such as "/dev/gpio/", because the checks look for it in the program's data. */
int microclaw_open_node(const char *nodes, int number, int flags);
void microclaw_close_node(int fd);
void microclaw_close_nodes(void) __attribute__((weak)); /* NULL in a program that opens none (ending.c) */

/* The open bus of i2c_open: its file, -1 without one; false if it is not open, or cannot have this clock. */
int microclaw_i2c_file(void);
bool microclaw_i2c_clock(uint32_t hz);
uint32_t microclaw_i2c_clock_hz(void);

/* MQTT and HTTP clients that are left at the end are closed by a program that ever had one (clients.c). */
void microclaw_close_clients(void);
void microclaw_note_client(void);
void microclaw_close_mqtt(void);
void microclaw_close_http(void);

/* What programs hold is never the number of a pin, so that gpio_set(2, 1) without gpio_open cannot reach a file by chance. */
enum { FIRST_GPIO = 0x100, FIRST_PWM = 0x200, FIRST_I2C = 0x300 };

/* Say that this is nothing that gpio_open or pwm_open (WHAT: gpio, pwm) returned, and end the program. Where they had failed
 * (-1) it is said once, and the program goes on. */
void microclaw_not_open(const char *what, int handle);
