# For the administrator of one tenant: everything in it, its policies, mounts, tokens and child tenants included.
# Paths that ask for sudo are named one by one below, so that a new one is not granted by an old policy; what belongs to
# the deployment rather than to a tenant is denied.

path "*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list", "scan"]
}

path "sys/auth/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"]
}
path "sys/remount" {
  capabilities = ["update", "sudo"]
}
path "sys/leases/lookup/*" {
  capabilities = ["list", "sudo"]
}
path "sys/leases/revoke-prefix/*" {
  capabilities = ["update", "sudo"]
}
path "sys/leases/revoke-force/*" {
  capabilities = ["update", "sudo"]
}
path "sys/namespaces/api-lock/*" {
  capabilities = ["update", "sudo"]
}
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}
path "auth/token/create-orphan" {
  capabilities = ["create", "update", "sudo"]
}
path "auth/token/revoke-orphan" {
  capabilities = ["update", "sudo"]
}

# The tenant's own keys and its own log.
path "sys/rotate" {
  capabilities = ["update", "sudo"]
}
path "sys/rotate/keyring" {
  capabilities = ["update", "sudo"]
}
path "sys/audit" {
  capabilities = ["read", "list", "sudo"]
}
path "sys/audit/*" {
  capabilities = ["read", "list", "sudo"]
}
path "sys/audit-log" {
  capabilities = ["read", "list", "sudo"]
}
path "sys/audit-log/*" {
  capabilities = ["read", "list", "sudo"]
}
path "sys/config/auditing/request-headers" {
  capabilities = ["read", "sudo"]
}
path "sys/config/auditing/request-headers/*" {
  capabilities = ["create", "read", "update", "delete", "sudo"]
}

# The deployment's.
path "sys/seal" {
  capabilities = ["deny"]
}
path "sys/step-down" {
  capabilities = ["deny"]
}
path "sys/rotate/root/*" {
  capabilities = ["deny"]
}
path "sys/generate-root*" {
  capabilities = ["deny"]
}
path "sys/rekey*" {
  capabilities = ["deny"]
}
path "sys/raw*" {
  capabilities = ["deny"]
}
path "sys/storage/*" {
  capabilities = ["deny"]
}
path "sys/config/*" {
  capabilities = ["deny"]
}
