/* micros: the firmware's clock counts microseconds since boot. */
#include <time.h>

__attribute__((weak)) unsigned long micros(void) { return (unsigned long)clock(); }
