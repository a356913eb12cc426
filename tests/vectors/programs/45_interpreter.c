#include <ctype.h>
#include <stdio.h>
#include <unistd.h>

/* A recursive descent calculator that takes its time over each number. */
static const char *at;

static int expression(void);

static int factor(void)
{
    int value = 0;
    if (*at == '(') {
        at++;
        value = expression();
        at++;
        return value;
    }
    while (isdigit((unsigned char)*at)) {
        value = value * 10 + (*at++ - '0');
        usleep(1000);
    }
    return value;
}

static int term(void)
{
    int value = factor();
    while (*at == '*' || *at == '/') {
        char op = *at++;
        int right = factor();
        value = op == '*' ? value * right : value / right;
    }
    return value;
}

static int expression(void)
{
    int value = term();
    while (*at == '+' || *at == '-') {
        char op = *at++;
        int right = term();
        value = op == '+' ? value + right : value - right;
    }
    return value;
}

int main(void)
{
    static const char *const lines[] = { "1+2*3", "(1+2)*3", "100/(7-2)-4*(3+1)", "((((42))))" };
    for (int i = 0; i < 4; i++) {
        at = lines[i];
        printf("%s = %d\n", lines[i], expression());
        sleep(1);
    }
    return 0;
}
