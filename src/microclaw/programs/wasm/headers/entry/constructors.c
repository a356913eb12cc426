/* main of a program with global objects that have constructors, or functions that are marked to run before main. They run
 * here, once, and may even sleep. That they are called by name keeps the linker from calling them at each entry. */
void __wasm_call_ctors(void);
int __real___main_void(void);

int __wrap___main_void(void) {
    __wasm_call_ctors();
    return __real___main_void();
}
