__attribute__((import_module("wasi_snapshot_preview1"))) int fd_close(int);
void on_init(void) {
    fd_close(1);
}
