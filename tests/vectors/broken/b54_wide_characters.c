#include <stdio.h>

int main(void)
{
    wchar_t text[] = L"Grad";
    wprintf(L"%ls\n", text);
    return 0;
}
