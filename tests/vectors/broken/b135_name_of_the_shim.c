int __microclaw_shim;
int main(void) { return 0; }
