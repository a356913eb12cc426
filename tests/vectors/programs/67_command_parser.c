#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int level[40];

static void set(int pin, int value)
{
    level[pin] = value;
    printf("pin %d = %d\n", pin, value);
}

static int run(char *line)
{
    char *words[4];
    int count = 0;
    for (char *word = strtok(line, " \t"); word && count < 4; word = strtok(NULL, " \t")) {
        for (char *c = word; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        words[count++] = word;
    }
    if (count == 0)
        return 0;
    if (!strcmp(words[0], "set") && count == 3) {
        int pin = atoi(words[1]);
        if (pin < 0 || pin >= 40)
            return -2;
        set(pin, !strcmp(words[2], "on") || !strcmp(words[2], "1"));
        return 1;
    }
    if (!strcmp(words[0], "get") && count == 2) {
        printf("pin %s is %d\n", words[1], level[(int)strtol(words[1], NULL, 0) % 40]);
        return 1;
    }
    return -1;
}

int main(void)
{
    const char *script = "set 4 on;GET 4;  get 0x5 ;set 99 on;jump;set 4 OFF;get 4;";
    char line[32];
    while (*script) {
        const char *end = strchr(script, ';');
        size_t length = (size_t)(end - script);
        memcpy(line, script, length);
        line[length] = 0;
        int result = run(line);
        if (result < 0)
            printf("error %d\n", result);
        script = end + 1;
        usleep(100000);
    }
    return 0;
}
