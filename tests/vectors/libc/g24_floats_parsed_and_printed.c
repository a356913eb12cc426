#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    const char *texts[] = { "0.1", "1e23", "8.5e-3", "-0", "inf", "0x1.8p1", "3.14159265358979323846", "1.7976931348623157e308" };
    int precision = 17;
    for (int i = 0; i < 8; i++) {
        char *end;
        double d = strtod(texts[i], &end);
        printf("%s: %.*g %.*f %d\n", texts[i], precision, d, 2, d < 1e30 ? d : 0.0, *end);
    }
    printf("%.*g\n", 9, (double)strtof("0.1", NULL));
    return 0;
}
