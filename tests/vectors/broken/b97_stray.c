```c
#include "microclaw.h"
int main(void) {
    return 0;
}
```
