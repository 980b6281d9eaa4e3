# For whoever keeps the server running: health, seals and rotation. It sees what is mounted and which tenants there are,
# and reads no secret, no policy and no audit log.

path "sys/health" {
  capabilities = ["read"]
}
path "sys/seal-status" {
  capabilities = ["read"]
}
path "sys/leader" {
  capabilities = ["read"]
}
path "sys/ha-status" {
  capabilities = ["read"]
}
path "sys/metrics" {
  capabilities = ["read"]
}
path "sys/version-history" {
  capabilities = ["list"]
}
path "sys/config/state/sanitized" {
  capabilities = ["read"]
}

# Rotation of the tenant's keys and of the root key.
path "sys/key-status" {
  capabilities = ["read"]
}
path "sys/rotate" {
  capabilities = ["update", "sudo"]
}
path "sys/rotate/*" {
  capabilities = ["create", "read", "update", "delete", "sudo"]
}

# Taking the server out of service. Putting it back needs key shares, not a token.
path "sys/seal" {
  capabilities = ["update", "sudo"]
}
path "sys/step-down" {
  capabilities = ["update", "sudo"]
}

path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/mounts/*" {
  capabilities = ["read"]
}
path "sys/auth" {
  capabilities = ["read"]
}
path "sys/namespaces" {
  capabilities = ["list"]
}
path "sys/namespaces/*" {
  capabilities = ["read", "list"]
}
