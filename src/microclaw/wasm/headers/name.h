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
char __microclaw_name[] = MICROCLAW_NAME;
#ifdef MICROCLAW_ON_INIT_WAITS /* on_init is program_on_init then: see program_macros.py */
void on_init(void);
int main(void) {
    on_init();
    return 0;
}
#endif
#ifdef __cplusplus
}
#endif
