#pragma once

#ifdef __cplusplus
extern "C"
#endif
    int
    next_level(void);
