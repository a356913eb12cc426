#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct word {
    char text[16];
    int count;
};

static struct word words[32];
static int used;

static int by_count(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    return x->count != y->count ? y->count - x->count : strcmp(x->text, y->text);
}

static void add(const char *text)
{
    for (int i = 0; i < used; i++)
        if (strcasecmp(words[i].text, text) == 0) {
            words[i].count++;
            return;
        }
    strcpy(words[used].text, text);
    words[used++].count = 1;
}

int main(void)
{
    char text[] = "The fox and the dog. The dog, the Fox & the cat!";
    int punct = 0;

    for (char *p = text; *p; p++)
        if (ispunct((unsigned char)*p)) {
            punct++;
            *p = ' ';
        }
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
        add(w);
    qsort(words, used, sizeof *words, by_count);
    for (int i = 0; i < used; i++)
        printf("%s: %d\n", words[i].text, words[i].count);
    printf("%d marks\n", punct);
    return 0;
}
