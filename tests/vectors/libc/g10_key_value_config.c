#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *trim(char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    char *end = s + strlen(s);
    while (end > s && strchr(" \t\r\n", end[-1]))
        *--end = '\0';
    return s;
}

int main(void)
{
    char config[] = "ssid = home net\n# a comment\ninterval=30\n  threshold =  23.5 \nmode=AUTO\nempty=\n";
    char *rest = config, *line;

    while ((line = strsep(&rest, "\n")) != NULL) {
        char *equal = strchr(line, '=');
        if (!*line || *line == '#' || !equal)
            continue;
        *equal = '\0';
        char *key = trim(line), *value = trim(equal + 1);
        if (strcmp(key, "interval") == 0)
            printf("interval %ld s\n", strtol(value, NULL, 10));
        else if (strcmp(key, "threshold") == 0)
            printf("threshold %.2f\n", atof(value));
        else if (!strcasecmp(value, "auto"))
            printf("automatic\n");
        else
            printf("%s -> '%s'\n", key, value);
    }
    return 0;
}
