# Configuration of one of several Strongroom servers on PostgreSQL, with the root key in AWS KMS.
# Each replica has the same file. Start it with: strongroom server --config /etc/strongroom/strongroom-kms.hcl

# The address that clients use.
api_addr     = "https://strongroom.example.com:8200"
cluster_name = "example"

listener "tcp" {
  address         = "0.0.0.0:8200"
  tls_cert_file   = "/etc/strongroom/tls/server.pem"
  tls_key_file    = "/etc/strongroom/tls/server-key.pem"
  tls_min_version = "tls13"
}

# `strongroom migrate` writes the context key file. A password belongs into BAO_PG_CONNECTION_URL or ~/.pgpass.
storage "postgresql" {
  connection_url   = "postgres://strongroom_runtime@db.example.com/strongroom?sslmode=verify-full"
  context_key_file = "/etc/strongroom/context.key"
}

# A symmetric key. Credentials come from the environment, ~/.aws, a web identity, or the role of the container or instance; they need
# kms:Encrypt and kms:Decrypt on this key.
seal "awskms" "eu" {
  region     = "eu-central-1"
  kms_key_id = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  timeout    = "5s"
  # Keys that namespaces may choose for themselves, and nothing else opens then.
  # allowed_key_ids = ["arn:aws:kms:eu-central-1:444455556666:key/0987dcba-09fe-87dc-65ba-ab0987654321"]
}

# A second seal, in another region: any one of them opens. To add or drop one, change this file, restart the servers one after the
# other, and wait for `strongroom operator seal-migrate` to say that it is complete.
seal "awskms" "us" {
  region     = "us-east-1"
  kms_key_id = "arn:aws:kms:us-east-1:111122223333:key/abcd1234-12ab-34cd-56ef-1234567890ab"
}

# A key of another OpenBao or Vault, or of a hardware security module, in place of these or beside them:
#
# seal "transit" "other" {
#   address    = "https://bao.example.com:8200"
#   key_name   = "strongroom"
#   token_file = "/etc/strongroom/transit-token"
# }
# seal "pkcs11" "hsm" {
#   lib         = "/usr/lib/softhsm/libsofthsm2.so"
#   token_label = "strongroom"
#   pin_file    = "/etc/strongroom/pin"
#   key_label   = "strongroom"
# }

# When all seals are gone for good, and `sys/init` made recovery shares: name `seal "recovery" {}` and a seal that takes over here.

# How often KMS is asked whether a key may still be used, and how long a key outlives an outage of KMS.
keyring_refresh = "5m"
keyring_max_age = "1h"

log_level  = "info"
log_format = "json"
