object "auth/userpass/users/bob" {
  password = env("BOB")
  token_policies = ["reader"]
}
auth "userpass" { type = "userpass" }
object "secret/data/x" {
  data {
    private_key = file("x.pem")
    nested = { client_secret = { eval_source = "file", path = "/run/secret", eval_type = "string" } }
  }
}
