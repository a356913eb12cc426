#include <Arduino.h>

int parse(const char *text) {
  if (!text[0]) {
    throw 1;
  }
  return atoi(text);
}

int main() {
  printf("%d\n", parse("12"));
  return 0;
}
