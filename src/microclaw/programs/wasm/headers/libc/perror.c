/* perror prints the words for errno. */
#include "libc.h"
#include <errno.h>
#include <string.h>

WEAK void perror(const char *text) {
    const char *error = strerror(errno);
    if (text && *text) {
        native_printf("%s: %s\n", text, error);
    } else {
        native_printf("%s\n", error);
    }
}
