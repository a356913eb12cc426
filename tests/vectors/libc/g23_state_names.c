#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum state { IDLE, RUNNING, FAILED, STATES };
static const char *const names[STATES] = { "idle", "running", "failed" };

static enum state from_name(const char *name)
{
    for (int i = 0; i < STATES; i++)
        if (strcasecmp(name, names[i]) == 0)
            return i;
    return STATES;
}

int main(void)
{
    static_assert(STATES == 3, "three states");
    assert(from_name("IDLE") == IDLE);
    for (int i = 0; i <= STATES; i++)
        printf("%s\n", i < STATES ? names[i] : "none");
    printf("%d %d\n", from_name("Failed"), from_name("x"));
    printf("%d %d\n", bcmp("ab", "ab", 2), strncasecmp("ABc", "abD", 2));
    return EXIT_SUCCESS;
}
