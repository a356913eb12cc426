/* The program's end: the firmware keeps a removed program's pins open (and then refuses to open them again), so whatever is
 * open is closed here, after the program's own on_destroy; so are MQTT clients, whose connection it would keep as well. A program that opens none does not import close. */
#include "glue.h"

__attribute__((weak)) void program_on_destroy(void) {}
__attribute__((weak)) void microclaw_close_clients(void) {}

void on_destroy(void) {
    program_on_destroy();
    if (microclaw_close_nodes) {
        microclaw_close_nodes();
    }
    microclaw_close_clients();
}
