int next_step(int count) {
  return count + 1;
}
