static const char *const numbers[] = {@NUMBERS}, *const wholes[] = {@WHOLES};
static const int bases[] = {0, 2, 8, 10, 16, 36};
int main(void) {
    char *end;
    for (int i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        union { double d; unsigned long long b; } u;
        u.d = strtod(numbers[i], &end);
        if (isnan(u.d)) u.d = INFINITY; /* the sign of nan says nothing */
        printf("%016llx %d ", u.b, (int)(end - numbers[i]));
        u.d = strtof(numbers[i], &end);
        if (isnan(u.d)) u.d = INFINITY;
        printf("%016llx %d\n", u.b, (int)(end - numbers[i]));
    }
    for (int i = 0; i < sizeof wholes / sizeof wholes[0]; i++) {
        for (int k = 0; k < 6; k++) {
            printf("%lld %d ", strtoll(wholes[i], &end, bases[k]), (int)(end - wholes[i]));
            printf("%llu %d ", strtoull(wholes[i], &end, bases[k]), (int)(end - wholes[i]));
        }
        printf("%lld %d\n", atoll(wholes[i]), (int)atof(wholes[i]) == 7);
    }
}
