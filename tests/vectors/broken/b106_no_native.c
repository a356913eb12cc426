int fsync(int, int);
void on_init(void) {
    fsync(1, 2);
}
