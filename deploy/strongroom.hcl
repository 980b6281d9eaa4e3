# Configuration of one Strongroom server on one machine.
# Start it with: strongroom server --config /etc/strongroom/strongroom.hcl

# The address that clients use.
api_addr     = "https://strongroom.example.com:8200"
cluster_name = "example"

listener "tcp" {
  address         = "0.0.0.0:8200"
  tls_cert_file   = "/etc/strongroom/tls/server.pem"
  tls_key_file    = "/etc/strongroom/tls/server-key.pem"
  tls_min_version = "tls13"
}

storage "sqlite" {
  path = "/var/lib/strongroom/strongroom.db"
}

# For several replicas use PostgreSQL instead. `strongroom migrate` writes the context key file.
# The address may also come from BAO_PG_CONNECTION_URL, which keeps its password out of this file.
#
# storage "postgresql" {
#   connection_url   = "postgres://strongroom@db.example.com/strongroom?sslmode=verify-full"
#   context_key_file = "/etc/strongroom/context.key"
# }

# 32 random bytes (openssl rand -out static.key 32), on another disk than the database and its backups.
# Without a seal stanza the root key is split into shares that people enter (Shamir).
seal "static" "main" {
  key_file = "/etc/strongroom/keys/static.key"
}

log_level  = "info"
log_format = "json"

default_lease_ttl = "768h"
max_lease_ttl     = "768h"

# How long a key is used before its seal is asked again, and how long it outlives an outage of the seal.
keyring_refresh = "5m"
keyring_max_age = "1h"

# The signed list of erased namespaces, away from the database and its backups, and how long those are kept.
#
# erased_list_file = "/var/lib/strongroom-list/erased"
# backup_retention = "840h"

telemetry {
  prometheus_retention_time = "24h"
}

# Hosts that the server may fetch signing keys from (JWT, OIDC and Kubernetes logins). Nothing else is ever fetched.
outbound_allow = []

# Where it is written down what was signed of the audit log, so that a database that was put back to an older state is
# refused (docs/AUDIT.md). Not on the database's disk.
#
# anchor "file" {
#   path = "/var/lib/strongroom-anchors/anchors"
# }
# anchor "s3" {
#   bucket = "example-anchors"
#   region = "eu-central-1"
#   name   = "strongroom/server-1"
# }

# Who cosigns the log of the deployment, so that nobody can show two histories of it (docs/AUDIT.md).
#
# witness "w1" {
#   url = "https://witness.example.com"
#   key = "witness.example.com/w1+9f8e7d6c+BQ.."
# }
# witnesses_required = 1

# Copies of the audit log for other systems (docs/AUDIT.md). A sink that hangs never holds up a request.
#
# audit "file" "siem" {
#   options {
#     file_path        = "/var/log/strongroom/audit.log"
#     rotate_bytes     = 104857600
#     rotate_max_files = 30
#   }
# }

# The audit log in object storage (docs/OPERATIONS.md): "s3", "gcs", "azure" or "file".
#
# archive "s3" {
#   bucket           = "example-audit"
#   region           = "eu-central-1"
#   keep_in_database = "720h"
#   retention        = "87600h"
# }
