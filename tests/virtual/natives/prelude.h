typedef unsigned char u8; typedef unsigned short u16; typedef unsigned u32; typedef long long i64;
        typedef unsigned long long u64;
typedef u32 size_t;
int printf(const char *, ...); int puts(const char *); int snprintf(char *, size_t, const char *, ...);
int sprintf(char *, const char *, ...); int putchar(int);
void *malloc(size_t); void *calloc(size_t, size_t); void *realloc(void *, size_t); void free(void *);
        char *strdup(const char *);
int open(const char *, int, ...); int read(int, void *, size_t); int write(int, const void *, size_t); int close(int);
int ioctl(int, int, ...); i64 lseek(int, i64, int); unsigned sleep(unsigned); int usleep(unsigned);
int wasm_create_timer(int, int, int); void wasm_timer_cancel(int); void wasm_timer_restart(int, int);
void wasm_timer_destroy(int); u32 wasm_get_sys_tick_ms(void);
#define RD 0x04000000
#define WR 0x10000000
#define RW 0x14000000
static struct { u32 version, num, index; struct { u16 type, size; const void *value; } f[8]; } q;
static void seq(void) { q.version = 1; q.num = 8; q.index = 0; }
static void add(int type, int size, const void *value) { q.f[q.index].type = type; q.f[q.index].size = size;
        q.f[q.index++].value = value; }
