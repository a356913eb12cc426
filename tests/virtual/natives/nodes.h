static int gpio_flags(int fd, u32 flags) { seq(); add(1, 4, &flags); return ioctl(fd, 0x8101, &q); }
static int ledc_config(int fd, u32 hz, u8 n, u8 pin, u32 duty) { u32 phase = 0; seq(); add(1, 4, &hz); add(2, 1, &n);
    add(0x103, 1, &pin); add(0x203, 4, &duty); add(0x303, 4, &phase); return ioctl(fd, 0x8401, &q); }
static int ledc_duty(int fd, u8 channel, u32 duty) { seq(); add(1, 1, &channel); add(2, 4, &duty);
        return ioctl(fd, 0x8403, &q); }
static int i2c_config(int fd, u16 sda, u16 scl) { u32 flags = 1, clock = 100000; seq(); add(1, 2, &sda);
        add(2, 2, &scl);
    add(3, 4, &flags); add(4, 4, &clock); return ioctl(fd, 0x8201, &q); }
static int i2c_move(int fd, u16 flags, u16 addr, void *buffer, u32 size) { seq(); add(1, 2, &flags); add(2, 2, &addr);
    add(4, 4, &size); add(3, 4, &buffer); return ioctl(fd, 0x8202, &q); }
static int i2c_read(int fd, u16 addr, u8 reg, void *rx, u32 n) { u16 flags = 2; u32 delay = 0, one = 1;
        void *tx = &reg; seq();
    add(1, 2, &flags); add(2, 2, &addr); add(3, 4, &delay); add(4, 4, &tx); add(5, 4, &one); add(6, 4, &rx);
        add(7, 4, &n);
    return ioctl(fd, 0x8203, &q); }
static int put(int fd, u8 level) { return write(fd, &level, 1); }
static int get(int fd) { u8 level = 9; int n = read(fd, &level, 1); return n == 1 ? level : n; }
