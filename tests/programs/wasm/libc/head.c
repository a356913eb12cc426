#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static char out[3000], room[160];
/* Length, checksum and the beginning of `size` bytes: what is printed stays short and without odd characters. */
static void show(int result, const char *data, int size) {
    unsigned sum = 2166136261u;
    for (int i = 0; i < size; i++) sum = (sum ^ (unsigned char)data[i]) * 16777619u;
    for (int i = 0; i < 40; i++) out[i] = i < size && data[i] > 31 && data[i] < 127 ? data[i] : '.';
    out[40] = 0;
    printf("%d %d %08x %s\n", result, size, sum, out);
}
