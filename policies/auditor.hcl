# For whoever reviews the access log and verifies it. It also reads policies, to tell whether an access was meant to be
# possible, and computes the hash of a value, to look for it in the log. It reads no secret and changes nothing.

path "sys/audit-log" {
  capabilities = ["read", "list", "sudo"]
}
path "sys/audit-log/*" {
  capabilities = ["read", "list", "sudo"]
}
path "sys/audit" {
  capabilities = ["read", "list", "sudo"]
}
path "sys/audit/*" {
  capabilities = ["read", "list", "sudo"]
}
path "sys/audit-hash/*" {
  capabilities = ["update"]
}
path "sys/config/auditing/*" {
  capabilities = ["read", "list", "sudo"]
}

path "sys/policies/acl" {
  capabilities = ["list"]
}
path "sys/policies/acl/*" {
  capabilities = ["read"]
}
path "sys/mounts" {
  capabilities = ["read"]
}
