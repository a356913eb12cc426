__int128 a; void on_init(void) { a = a * a; }
