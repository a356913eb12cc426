#include <stdio.h>
#include <unistd.h>

static int compared;

static int slowly(int a, int b)
{
    usleep(500);
    compared++;
    return a < b;
}

static int quickly(int a, int b) { return a > b; }

static void sort(int *v, int n, int (*before)(int, int))
{
    for (int i = 1; i < n; i++) {
        int x = v[i], j = i;
        while (j > 0 && before(x, v[j - 1])) {
            v[j] = v[j - 1];
            j--;
        }
        v[j] = x;
    }
}

static void show(const char *how, const int *v, int n)
{
    printf("%s:", how);
    for (int i = 0; i < n; i++)
        printf(" %d", v[i]);
    printf("\n");
}

int main(void)
{
    int v[] = { 42, -7, 19, 0, 100, 3, 3, -50, 8 };
    int n = sizeof v / sizeof v[0];
    sort(v, n, slowly);
    show("up", v, n);
    sort(v, n, quickly);
    show("down", v, n);
    printf("%d slow comparisons\n", compared);
    return 0;
}
