# For wrapping tokens, and for no other: open the answer that was put away, or give the token up unopened. It cannot be
# changed, nor given to a token that is made in another way.

path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}
path "cubbyhole/response" {
  capabilities = ["read"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
