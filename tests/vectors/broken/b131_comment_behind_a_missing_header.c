#include <esp_check.h> /*
#include "/x"
*/
int main(void) {}
