# For an application that fetches its secrets: it reads values below secret/ and resolves references, and changes nothing.
# Resolving needs the right to read what the reference points to, or a reference that is bound to the caller.

path "secret/data/*" {
  capabilities = ["read"]
}
path "secret/metadata/*" {
  capabilities = ["read", "list"]
}
path "sys/references/resolve" {
  capabilities = ["update"]
}
