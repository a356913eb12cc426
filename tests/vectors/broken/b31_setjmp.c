#include <setjmp.h>
#include <stdio.h>

static jmp_buf back;

int main(void)
{
    if (setjmp(back) == 0) {
        longjmp(back, 1);
    }
    printf("back again\n");
    return 0;
}
