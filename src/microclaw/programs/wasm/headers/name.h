/* name.h: read before every program: its name, which stays only where main takes arguments, and what the firmware calls by
 * name, which C++ must not decorate. */
#ifdef __cplusplus
extern "C" {
void on_init(void);
void on_timer_callback(__UINT32_TYPE__ timer);
void on_request(char *buffer, int size);
void on_response(char *buffer, int size);
#endif
extern char __microclaw_name[];
#ifndef MICROCLAW_OTHER_UNIT /* of a program's several sources the first one has these */
char __microclaw_name[] = MICROCLAW_NAME;
#endif
#ifdef MICROCLAW_LLMOS_SENSOR /* llmos.py */
#pragma push_macro("__asm__")
#undef __asm__
int microclaw_llmos_sensor(int i2c, int address, float *values) __asm__(MICROCLAW_LLMOS_SENSOR);
#pragma pop_macro("__asm__")
float microclaw_llmos_temperature(int sda, int scl, int address, int (*read)(int, int, float *), int number);
#endif
/* on_init is program_on_init then: see program_macros.py */
#if defined MICROCLAW_ON_INIT_WAITS && !defined MICROCLAW_OTHER_UNIT
void on_init(void);
int main(void) {
    on_init();
    return 0;
}
#endif
#ifdef __cplusplus
}
#endif
