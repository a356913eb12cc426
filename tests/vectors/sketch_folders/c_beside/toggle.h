#ifndef TOGGLE_H
#define TOGGLE_H

#define LED 4

#ifdef __cplusplus
extern "C" {
#endif

void toggle(void);

#ifdef __cplusplus
}
#endif

#endif
