static void put(double x) { union { double d; unsigned long long b; } u = {x}; printf("%016llx ", u.b); }
typedef double one(double);
typedef float onef(float);
typedef double two(double, double);
static one *const volatile f[] = {@ONE};
static onef *const volatile ff[] = {@FLOATS};
static two *const volatile g[] = {@TWO};
#ifdef __wasm__
#define FLOAT(k, x) ff[k](x)
#else
#define FLOAT(k, x) (float)f[k]((float)(x)) /* the nearest there is */
#endif
static const double xs[] = {@XS}, ys[] = {@YS};
static const int es[] = {@ES};
int main(void) {
    for (int i = 0; i < sizeof xs / sizeof xs[0]; i++) {
        double x = xs[i], part;
        int e = 0;
        for (int k = 0; k < sizeof f / sizeof f[0]; k++) put(f[k](x));
        for (int k = 0; k < sizeof ff / sizeof ff[0]; k++) put(FLOAT(k, x));
        for (int k = 0; k < sizeof g / sizeof g[0]; k++) put(g[k](x, ys[i]));
        put(ldexp(x, es[i])), put(scalbn(x, es[i])), put(modf(x, &part)), put(part), put(frexp(x, &e));
        put(isfinite(x) ? e : 0), put(ilogb(isnan(x) ? 0 : x));
        double near = x > -2147483647 && x < 2147483647 ? x : 0.5;
        put(lround(near)), put(llround(near)), put(lrint(near)), put(llrint(near));
        printf("\n");
    }
}
