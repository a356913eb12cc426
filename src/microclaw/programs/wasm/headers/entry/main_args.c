/* main(int, char **) is another symbol to the compiler; it gets the program's name and nothing else. */
extern char __microclaw_name[];
int __main_argc_argv(int argc, char **argv);

int __main_void(void) {
    static char *argv[2];
    argv[0] = __microclaw_name;
    return __main_argc_argv(1, argv);
}
