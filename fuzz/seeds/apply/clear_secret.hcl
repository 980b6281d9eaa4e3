object "x" {
  db_password = "hunter2"
}
