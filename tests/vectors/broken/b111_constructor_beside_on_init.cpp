volatile int n;
struct A { A() { n++; } } a;
void on_init() {}
