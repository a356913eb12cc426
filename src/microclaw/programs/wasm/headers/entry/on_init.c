/* The entry of a program with a main that never sleeps. */
int __main_void(void);

void on_init(void) { (void)__main_void(); }
