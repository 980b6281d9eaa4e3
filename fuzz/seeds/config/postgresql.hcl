listener "tcp" {
  address = "[::1]:8200"
  tls_disable = 1
}
storage "postgresql" {
  connection_url = "postgres://u:p@h/d"
  context_key_file = "c.key"
  max_parallel = 8
}
