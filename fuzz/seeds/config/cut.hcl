listener "tcp" {
  address = "127.