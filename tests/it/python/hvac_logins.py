"""hvac against a running server: AppRole, userpass, JWT and Kubernetes. Called as `hvac_core.py` is."""

import base64
import json
import pathlib
import subprocess
import tempfile
import time

from hvac import exceptions

from hvac_core import client, refused


def approle(root):
    root.sys.enable_auth_method("approle")
    auth = root.auth.approle
    auth.create_or_update_approle("web", token_policies=["default"], token_ttl="20m", secret_id_num_uses=4, secret_id_ttl="10m")
    role = auth.read_role("web")["data"]
    assert (role["token_ttl"], role["secret_id_num_uses"], role["secret_id_ttl"]) == (1200, 4, 600), role
    assert role["token_bound_cidrs"] == [] and role["token_policies"] == ["default"], role
    assert auth.list_roles()["data"]["keys"] == ["web"]
    auth.update_role_id("web", "web-role")
    assert auth.read_role_id("web")["data"]["role_id"] == "web-role"
    made = auth.generate_secret_id("web", metadata={"team": "blue"}, cidr_list=["127.0.0.1/32"])["data"]
    assert (made["secret_id_num_uses"], made["secret_id_ttl"]) == (4, 600), made
    found = auth.read_secret_id("web", made["secret_id"])["data"]
    assert (found["metadata"], found["cidr_list"]) == ({"team": "blue"}, ["127.0.0.1/32"]), found
    same = auth.read_secret_id_accessor("web", made["secret_id_accessor"])["data"]
    assert same["secret_id_accessor"] == made["secret_id_accessor"], same
    assert auth.list_secret_id_accessors("web")["data"]["keys"] == [made["secret_id_accessor"]]
    machine = client(token=None)
    login = machine.auth.approle.login(role_id="web-role", secret_id=made["secret_id"])["auth"]
    assert login["metadata"] == {"role_name": "web", "team": "blue"} and login["lease_duration"] == 1200, login
    assert machine.lookup_token()["data"]["display_name"] == "approle"
    assert machine.auth.token.renew_self()["auth"]["lease_duration"] == 1200
    assert auth.read_secret_id("web", made["secret_id"])["data"]["secret_id_num_uses"] == 3
    custom = auth.create_custom_secret_id("web", "custom-secret", metadata={"a": "b"})["data"]
    assert custom["secret_id"] == "custom-secret", custom
    wrapped = auth.generate_secret_id("web", wrap_ttl="1m")["wrap_info"]["token"]
    unwrapped = client(token=wrapped).sys.unwrap()["data"]["secret_id"]
    machine.auth.approle.login(role_id="web-role", secret_id=unwrapped)
    auth.destroy_secret_id("web", "custom-secret")
    auth.destroy_secret_id_accessor("web", made["secret_id_accessor"])
    stranger = client(token=None)
    for secret in [made["secret_id"], "custom-secret", "wrong"]:
        text = refused(exceptions.InvalidRequest, stranger.auth.approle.login, role_id="web-role", secret_id=secret)
        assert "invalid role or secret ID" in text, text
    auth.delete_role("web")
    refused(exceptions.InvalidPath, auth.read_role, "web")
    root.sys.disable_auth_method("approle")
    refused(exceptions.Forbidden, machine.lookup_token)


def userpass(root):
    root.sys.enable_auth_method("userpass")
    auth = root.auth.userpass
    auth.create_or_update_user("bob", password="first", policies="default")
    assert auth.list_user()["data"]["keys"] == ["bob"]
    assert auth.read_user("bob")["data"]["token_policies"] == ["default"]
    person = client(token=None)
    login = person.auth.userpass.login("bob", "first")["auth"]
    assert login["metadata"] == {"username": "bob"} and login["policies"] == ["default"], login
    assert person.lookup_token()["data"]["display_name"] == "userpass-bob"
    auth.update_password_on_user("bob", "second")
    stranger = client(token=None)
    for name, password in [("bob", "first"), ("nobody", "second")]:
        text = refused(exceptions.InvalidRequest, stranger.auth.userpass.login, name, password)
        assert "invalid username or password" in text, text
    person.auth.userpass.login("bob", "second")
    auth.delete_user("bob")
    refused(exceptions.InvalidRequest, stranger.auth.userpass.login, "bob", "second")
    refused(exceptions.InvalidPath, auth.read_user, "bob")


def signed(key, claims):
    """A token of an issuer that signs by RS256."""
    encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    text = encode(b'{"alg":"RS256"}') + b"." + encode(json.dumps(claims).encode())
    done = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text, capture_output=True, check=True)
    return (text + b"." + encode(done.stdout)).decode()


def jwt(root):
    with tempfile.TemporaryDirectory() as folder:
        key = str(pathlib.Path(folder, "key.pem"))
        made = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key]
        subprocess.run(made, capture_output=True, check=True)
        pem = subprocess.run(["openssl", "pkey", "-in", key, "-pubout"], capture_output=True, check=True, text=True).stdout
        root.sys.enable_auth_method("jwt")
        auth = root.auth.jwt
        auth.configure(jwt_validation_pubkeys=[pem], bound_issuer="https://issuer.test")
        config = auth.read_config()["data"]
        assert (config["bound_issuer"], config["jwt_validation_pubkeys"]) == ("https://issuer.test", [pem.strip()]), config
        auth.create_role(
            "ci", user_claim="sub", allowed_redirect_uris=[], role_type="jwt", bound_audiences=["strongroom"], groups_claim="groups",
            bound_claims={"env": "prod"}, claim_mappings={"env": "env"}, token_policies=["default"], token_ttl="20m",
        )
        role = auth.read_role("ci")["data"]
        assert (role["user_claim"], role["bound_claims"], role["token_ttl"]) == ("sub", {"env": "prod"}, 1200), role
        assert auth.list_roles()["data"]["keys"] == ["ci"]
        now = int(time.time())
        claims = {"iss": "https://issuer.test", "sub": "eve", "aud": "strongroom", "env": "prod", "groups": ["a"], "iat": now, "exp": now + 60}
        machine = client(token=None)
        login = machine.auth.jwt.jwt_login("ci", signed(key, claims))["auth"]
        assert login["metadata"] == {"role": "ci", "env": "prod"} and login["lease_duration"] == 1200, login
        for wrong in [{"aud": "other"}, {"env": "test"}, {"iss": "https://other.test"}, {"exp": now - 1000}]:
            refused(exceptions.InvalidRequest, client(token=None).auth.jwt.jwt_login, "ci", signed(key, claims | wrong))
        auth.delete_role("ci")
        refused(exceptions.InvalidRequest, client(token=None).auth.jwt.jwt_login, "ci", signed(key, claims))


def kubernetes(root):
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = [str(pathlib.Path(folder, name)) for name in ["key.pem", "ca.pem"]]
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=cluster", "-keyout", key, "-out", certificate]
        subprocess.run(made, capture_output=True, check=True)
        root.sys.enable_auth_method("kubernetes")
        auth = root.auth.kubernetes
        ca = pathlib.Path(certificate).read_text()
        auth.configure("https://127.0.0.1:1", kubernetes_ca_cert=ca, pem_keys=[ca], issuer="https://cluster.test")
        config = auth.read_config()
        assert (config["kubernetes_host"], config["pem_keys"]) == ("https://127.0.0.1:1", [ca.strip()]), config
        assert config["issuer"] == "https://cluster.test" and config["token_reviewer_jwt_set"] is False, config
        auth.create_role("web", ["web"], ["team-a"], ttl="20m", policies=["default"], audience="strongroom")
        role = auth.read_role("web")
        assert (role["bound_service_account_names"], role["token_ttl"], role["audience"]) == (["web"], 1200, "strongroom"), role
        assert auth.list_roles()["keys"] == ["web"]
        now = int(time.time())
        claims = {
            "iss": "https://cluster.test", "sub": "system:serviceaccount:team-a:web", "aud": ["strongroom"], "iat": now, "nbf": now,
            "exp": now + 60, "kubernetes.io": {"namespace": "team-a", "serviceaccount": {"name": "web", "uid": "u-1"}},
        }
        for wrong in [{"aud": ["other"]}, {"exp": now - 1000}, {"sub": "x", "kubernetes.io": {"namespace": "team-b"}}]:
            refused(exceptions.Forbidden, client(token=None).auth.kubernetes.login, "web", signed(key, claims | wrong))
        # OpenBao has no such setting: it would ask the cluster, which is none here.
        if "jwks_url" in config:
            machine = client(token=None)
            login = machine.auth.kubernetes.login("web", signed(key, claims))["auth"]
            assert login["metadata"]["service_account_uid"] == "u-1" and login["lease_duration"] == 1200, login
            assert machine.lookup_token()["data"]["display_name"] == "kubernetes-team-a-web"
        auth.delete_role("web")
        refused(exceptions.InvalidPath, auth.read_role, "web")


def main():
    root = client()
    for step in [approle, userpass, jwt, kubernetes]:
        print(step.__name__, flush=True)
        step(root)


if __name__ == "__main__":
    main()
