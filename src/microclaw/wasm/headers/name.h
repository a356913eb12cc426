/* name.h: read before every program: its name, which stays only where main takes arguments. */
extern char __microclaw_name[];
char __microclaw_name[] = MICROCLAW_NAME;
