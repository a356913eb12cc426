struct A { __attribute__((noinline)) void run() { while (true) n++; } volatile int n; } a;
int main() { a.run(); }
