listener "tcp" { tls_disable = true }
storage "sqlite" { path = "/var/lib/x.db" }
