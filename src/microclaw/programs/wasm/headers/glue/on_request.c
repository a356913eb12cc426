/* The one entry for requests: to what the program printed (printed.c), else to the program's own handlers (requests.c). A program
 * that has neither does not have it. */
#include <stdbool.h>

__attribute__((weak)) bool microclaw_log_request(const char *buffer, int size);
__attribute__((weak)) void microclaw_request(char *buffer, int size);

/* Both call it, so that the linker takes this file. */
void microclaw_take_requests(void) {}

/* Named so that a program with an on_request of its own keeps that. */
__attribute__((export_name("on_request"))) void microclaw_on_request(char *buffer, int size) {
    if (microclaw_log_request && microclaw_log_request(buffer, size)) {
        return;
    }
    if (microclaw_request) {
        microclaw_request(buffer, size);
    }
}
