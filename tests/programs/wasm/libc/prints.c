static char text[3000];
static void print(const char *form, ...) {
    va_list ap;
    for (int size = sizeof text; size; size = size == sizeof text ? 1 + form[1] % 13 : 0) {
        memset(text, 1, 16), va_start(ap, form);
        int n = vsnprintf(text, size, form, ap);
        va_end(ap), show(n, text, size == sizeof text ? (int)strlen(text) : 16);
    }
}
