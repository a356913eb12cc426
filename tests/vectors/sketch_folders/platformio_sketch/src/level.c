#include "level.h"

int next_level(void) {
  static int level;
  level = !level;
  return level;
}
