listener "tcp" {
  tls_disable = true
  adress = "127.0.0.1:1"
}
storage "sqlite" { path = "x.db" }
