#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    char name[12];
    double value;
    int unit;
};

static int parse(const char *line, struct reading *out)
{
    char copy[64], *rest = copy, *field;
    int n = 0;

    snprintf(copy, sizeof copy, "%s", line);
    while ((field = strtok_r(n ? NULL : copy, ";", &rest)) != NULL) {
        if (n == 0)
            strncpy(out->name, field, sizeof out->name - 1), out->name[sizeof out->name - 1] = 0;
        else if (n == 1)
            out->value = strtod(field, NULL);
        else
            out->unit = atoi(field);
        n++;
    }
    return n;
}

int main(void)
{
    const char *lines[] = { "temperature;21.75;1", "pressure;1013.25;2", "humidity;4.2e1;3", "broken" };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct reading r = { "", 0, 0 };
        int n = parse(lines[i], &r);
        printf("%-12s %10.3f %d (%d fields)\n", r.name, r.value, r.unit, n);
    }
    return 0;
}
