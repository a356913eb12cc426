char name(void) { return "abc"; }
int main(void) { int x = "5"; char *p = 5; return name(); }
