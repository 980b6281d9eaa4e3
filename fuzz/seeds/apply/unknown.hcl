namespace "a" {
  mounts "x" {}
}
