#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct reading {
    int id;
    const char *place;
    double value;
};

static const struct reading readings[] = {
    {7, "kitchen", 21.375}, {12, "cellar", -3.5}, {120, "roof, south", 48.0},
};

static size_t csv(char *out, size_t size, const struct reading *r)
{
    out[0] = 0;
    char number[16];
    snprintf(number, sizeof number, "%03d", r->id);
    strcat(out, number);
    strcat(out, strchr(r->place, ',') ? ",\"" : ",");
    strncat(out, r->place, size - strlen(out) - 1);
    strcat(out, strchr(r->place, ',') ? "\"," : ",");
    size_t used = strlen(out);
    snprintf(out + used, size - used, "%+.2f", r->value);
    return strlen(out);
}

int main(void)
{
    char line[64];
    size_t total = 0;
    puts("id,place,value");
    for (size_t i = 0; i < sizeof readings / sizeof readings[0]; i++) {
        total += csv(line, sizeof line, &readings[i]);
        puts(line);
        usleep(20000);
    }
    printf("%u characters\n", (unsigned)total);
    return 0;
}
