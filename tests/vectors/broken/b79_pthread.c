#include <pthread.h>
#include <stdio.h>
void *w(void *a){ pthread_mutex_t m; pthread_mutex_lock(&m); return NULL; }
int main(void){ pthread_t t; pthread_create(&t,NULL,w,NULL); pthread_join(t,NULL); return 0; }
