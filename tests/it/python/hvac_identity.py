"""hvac against a running server: entities, groups, aliases, what they do to a token, identity tokens.

Takes VAULT_ADDR, VAULT_TOKEN and VAULT_CACERT; ends with 0 when every assertion held.
"""

import base64
import json

from hvac import exceptions

from hvac_core import client, refused


def entities(root):
    identity = root.secrets.identity
    made = identity.create_or_update_entity(name="Bob", policies=["p1"], metadata={"team": "x"})["data"]
    assert made["name"] == "Bob" and made["aliases"] is None
    bob = made["id"]
    assert identity.create_or_update_entity(name="BOB", metadata={"team": "y"}).status_code == 204
    read = identity.read_entity(bob)["data"]
    assert (read["name"], read["policies"], read["metadata"]) == ("BOB", ["p1"], {"team": "y"})
    assert (read["aliases"], read["group_ids"], read["direct_group_ids"], read["inherited_group_ids"]) == ([], [], [], [])
    assert read["disabled"] is False and read["merged_entity_ids"] is None and read["namespace_id"] == "root"
    assert identity.read_entity_by_name("bOb")["data"]["id"] == bob
    assert identity.update_entity(bob, name="Robert", policies=["p1", "p2"], metadata={}).status_code == 204
    refused(exceptions.InvalidPath, identity.read_entity_by_name, "bob")
    carol = identity.create_or_update_entity_by_name("carol", metadata={"a": "b"})["data"]["id"]
    text = refused(exceptions.InvalidRequest, identity.update_entity, carol, name="ROBERT")
    assert "entity name is already in use" in text
    assert "entity not found from id" in refused(exceptions.InvalidRequest, identity.update_entity, "nobody", name="x")
    text = refused(exceptions.InvalidRequest, identity.create_or_update_entity, name="r", policies=["root"])
    assert "policies cannot contain root" in text
    for method in ["LIST", "GET"]:
        listed = identity.list_entities(method=method)["data"]
        assert sorted(listed["keys"]) == sorted([bob, carol]) and listed["key_info"][bob] == {"name": "Robert"}
        assert sorted(identity.list_entities_by_name(method=method)["data"]["keys"]) == ["Robert", "carol"]
    assert identity.lookup_entity(name="robert")["data"]["id"] == bob
    assert identity.lookup_entity(entity_id=bob)["data"]["name"] == "Robert"
    assert identity.lookup_entity(name="nobody").status_code == 204
    assert identity.delete_entity_by_name("Carol").status_code == 204
    assert identity.delete_entity("nobody").status_code == 204
    refused(exceptions.InvalidPath, identity.read_entity, carol)
    return bob


def aliases(root, bob):
    identity = root.secrets.identity
    accessor = root.sys.list_auth_methods()["data"]["token/"]["accessor"]
    made = identity.create_or_update_entity_alias(name="bob@x", canonical_id=bob, mount_accessor=accessor)["data"]
    assert made["canonical_id"] == bob
    again = identity.create_or_update_entity_alias(name="bob@x", canonical_id=bob, mount_accessor=accessor)
    assert again.status_code == 204
    read = identity.read_entity_alias(made["id"])["data"]
    assert (read["name"], read["canonical_id"], read["mount_accessor"]) == ("bob@x", bob, accessor)
    assert (read["mount_path"], read["mount_type"], read["local"]) == ("auth/token/", "token", False)
    text = refused(
        exceptions.InvalidRequest, identity.create_or_update_entity_alias, name="b2", canonical_id=bob, mount_accessor=accessor
    )
    assert "Alias already exists for requested entity and mount accessor" in text
    text = refused(
        exceptions.InvalidRequest, identity.create_or_update_entity_alias, name="b2", canonical_id=bob, mount_accessor="bad"
    )
    assert 'invalid mount accessor "bad"' in text
    text = refused(
        exceptions.InvalidRequest, identity.create_or_update_entity_alias, name="b2", canonical_id="no", mount_accessor=accessor
    )
    assert "invalid canonical ID" in text
    changed = identity.update_entity_alias(made["id"], name="BOB", canonical_id=bob, mount_accessor=accessor)["data"]
    assert changed == {"id": made["id"], "canonical_id": bob}
    found = identity.lookup_entity(alias_name="bob", alias_mount_accessor=accessor)["data"]
    assert found["id"] == bob and found["aliases"][0]["id"] == made["id"] and found["aliases"][0]["name"] == "BOB"
    assert identity.lookup_entity(alias_id=made["id"])["data"]["id"] == bob
    info = identity.list_entity_aliases()["data"]
    assert info["keys"] == [made["id"]] and info["key_info"][made["id"]]["mount_path"] == "auth/token/"
    assert identity.delete_entity_alias(made["id"]).status_code == 204
    refused(exceptions.InvalidPath, identity.read_entity_alias, made["id"])
    refused(exceptions.InvalidPath, identity.list_entity_aliases)
    assert identity.read_entity(bob)["data"]["aliases"] == []
    return accessor


def groups(root, bob, accessor):
    identity = root.secrets.identity
    made = identity.create_or_update_group(name="Dev", policies=["g"], metadata={"m": "n"}, member_entity_ids=[bob])["data"]
    assert made["name"] == "Dev"
    dev = made["id"]
    all_of = identity.create_or_update_group(name="all", member_group_ids=[dev])["data"]["id"]
    read = identity.read_group(dev)["data"]
    assert (read["type"], read["policies"], read["metadata"]) == ("internal", ["g"], {"m": "n"})
    assert (read["member_entity_ids"], read["member_group_ids"], read["parent_group_ids"]) == ([bob], None, [all_of])
    assert identity.read_group_by_name("DEV")["data"]["id"] == dev
    entity = identity.read_entity(bob)["data"]
    assert (entity["direct_group_ids"], entity["inherited_group_ids"]) == ([dev], [all_of])
    assert sorted(entity["group_ids"]) == sorted([dev, all_of])
    text = refused(exceptions.InvalidRequest, identity.update_group, dev, name="Dev", member_group_ids=[all_of])
    assert f'cyclic relationship detected for member group ID "{all_of}"' in text
    assert identity.create_or_update_group_by_name("dev", policies=["g2"]).status_code == 204
    assert identity.read_group(dev)["data"]["policies"] == ["g2"]
    info = identity.list_groups()["data"]
    assert sorted(info["keys"]) == sorted([dev, all_of])
    assert info["key_info"][dev] == {"name": "dev", "num_member_entities": 1, "num_parent_groups": 1}
    assert sorted(identity.list_groups_by_name()["data"]["keys"]) == ["all", "dev"]
    assert identity.lookup_group(name="all")["data"]["member_group_ids"] == [dev]

    outer = identity.create_or_update_group(name="ext", group_type="external", policies=["e"])["data"]["id"]
    assert identity.read_group(outer)["data"]["type"] == "external"
    alias = identity.create_or_update_group_alias(name="team", mount_accessor=accessor, canonical_id=outer)["data"]["id"]
    text = refused(
        exceptions.InvalidRequest, identity.create_or_update_group_alias, name="t", mount_accessor=accessor, canonical_id=dev
    )
    assert "alias can't be set on an internal group" in text
    assert identity.read_group_alias(alias)["data"]["canonical_id"] == outer
    assert identity.read_group(outer)["data"]["alias"]["name"] == "team"
    assert identity.list_group_aliases()["data"]["keys"] == [alias]
    found = identity.lookup_group(alias_name="TEAM", alias_mount_accessor=accessor)["data"]
    assert found["id"] == outer
    identity.update_group_alias(alias, name="crew", mount_accessor=accessor, canonical_id=outer)
    assert identity.read_group_alias(alias)["data"]["name"] == "crew"
    assert identity.delete_group_alias(alias).status_code == 204
    assert identity.read_group(outer)["data"]["alias"] == {}
    assert identity.delete_group(outer).status_code == 204
    refused(exceptions.InvalidPath, identity.read_group, outer)
    assert identity.delete_group_by_name("ALL").status_code == 204
    return dev


def merging(root):
    identity = root.secrets.identity
    one, two = [identity.create_or_update_entity(name=name)["data"]["id"] for name in ["m-one", "m-two"]]
    group = identity.create_or_update_group(name="m-group", member_entity_ids=[two])["data"]["id"]
    assert identity.merge_entities(from_entity_ids=[two], to_entity_id=one).status_code == 204
    refused(exceptions.InvalidPath, identity.read_entity, two)
    left = identity.read_entity(one)["data"]
    assert left["merged_entity_ids"] == [two] and left["direct_group_ids"] == [group]
    assert identity.read_group(group)["data"]["member_entity_ids"] == [one]
    text = refused(exceptions.InvalidRequest, identity.merge_entities, from_entity_ids=[one], to_entity_id=one)
    assert "to_entity_id should not be present in from_entity_ids" in text
    text = refused(exceptions.InvalidRequest, identity.merge_entities, from_entity_ids=[two], to_entity_id=one)
    assert "entity id to merge from is invalid" in text


def tokens(root):
    identity = root.secrets.identity
    root.sys.create_or_update_policy("maker", 'path "auth/token/create/*" { capabilities = ["update"] }')
    root.sys.create_or_update_policy("own", 'path "sys/policies/acl/{{identity.entity.name}}" { capabilities = ["read"] }')
    root.sys.create_or_update_policy("issue", 'path "identity/oidc/*" { capabilities = ["read", "update"] }')
    root.auth.token.create_or_update_role("ci", allowed_entity_aliases="al*", allowed_policies="default")
    made = root.auth.token.create(role_name="ci", entity_alias="Alice")["auth"]
    alice = made["entity_id"]
    assert made["policies"] == ["default"] and "identity_policies" not in made
    entity = identity.read_entity(alice)["data"]
    assert entity["aliases"][0]["name"] == "Alice" and entity["policies"] == []
    assert root.auth.token.create(role_name="ci", entity_alias="ALICE")["auth"]["entity_id"] == alice
    refused(exceptions.InvalidRequest, root.auth.token.create, role_name="ci", entity_alias="mallory")
    holder = client(made["client_token"])
    refused(exceptions.Forbidden, holder.sys.read_acl_policy, "own")
    identity.update_entity(alice, name="own", policies=["own"])
    group = identity.create_or_update_group(name="issuers", policies=["issue"], member_entity_ids=[alice])["data"]["id"]
    assert holder.sys.read_acl_policy("own")["data"]["name"] == "own"
    refused(exceptions.Forbidden, holder.sys.read_acl_policy, "maker")
    assert holder.read(f"identity/entity/id/{alice}")["data"]["name"] == "own"
    own = holder.auth.token.lookup_self()["data"]
    assert own["policies"] == ["default"] and sorted(own["identity_policies"]) == ["issue", "own"], own
    assert own["entity_id"] == alice
    again = root.auth.token.create(role_name="ci", entity_alias="alice")["auth"]
    assert again["policies"] == ["default", "issue", "own"] and again["token_policies"] == ["default"]
    assert sorted(again["identity_policies"]) == ["issue", "own"]
    identity_tokens(root, holder, alice)
    identity.delete_group(group)
    assert holder.auth.token.lookup_self()["data"]["identity_policies"] == ["own"]
    root.write(f"identity/entity/id/{alice}", disabled=True)
    refused(exceptions.Forbidden, holder.auth.token.lookup_self)
    refused(exceptions.Forbidden, root.auth.token.create, role_name="ci", entity_alias="alice")
    root.write(f"identity/entity/id/{alice}", disabled=False)
    assert holder.is_authenticated()
    identity.delete_entity(alice)
    refused(exceptions.Forbidden, holder.auth.token.lookup_self)


def part(token, at):
    text = token.split(".")[at]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def identity_tokens(root, holder, alice):
    identity = root.secrets.identity
    identity.configure_tokens_backend(issuer="https://example.com:1234")
    assert identity.read_tokens_backend_configuration()["data"]["issuer"] == "https://example.com:1234"
    identity.create_named_key("k", rotation_period="2h", verification_ttl="3h", allowed_client_ids=["*"], algorithm="ES256")
    read = identity.read_named_key("k")["data"]
    wanted = {"algorithm": "ES256", "allowed_client_ids": ["*"], "rotation_period": 7200, "verification_ttl": 10800}
    assert read == wanted, read
    assert set(identity.list_named_keys()["data"]["keys"]) == {"default", "k"}
    template = '{"groups": {{identity.entity.groups.names}}, "n": {{identity.entity.name}}}'
    identity.create_or_update_role("r", key="k", template=template, ttl="1h")
    role = identity.read_role("r")["data"]
    assert (role["key"], role["ttl"], role["template"]) == ("k", 3600, template) and role["client_id"]
    assert identity.list_roles()["data"]["keys"] == ["r"]
    text = refused(exceptions.InvalidRequest, identity.generate_signed_id_token, "r")
    assert "no entity associated with the request's token" in text
    signed = holder.secrets.identity.generate_signed_id_token("r")["data"]
    assert signed["client_id"] == role["client_id"] and signed["ttl"] == 3600
    claims = part(signed["token"], 1)
    assert claims["sub"] == alice and claims["aud"] == role["client_id"] and claims["exp"] - claims["iat"] == 3600
    assert claims["iss"] == "https://example.com:1234/v1/identity/oidc" and claims["namespace"] == "root"
    assert claims["n"] == "own" and claims["groups"] == ["issuers"]
    keys = client(token="").secrets.identity.read_active_public_keys()["keys"]
    key = [key for key in keys if key["kid"] == part(signed["token"], 0)["kid"]][0]
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    config = client(token="").secrets.identity.read_well_known_configurations()
    assert config["issuer"] == claims["iss"] and config["jwks_uri"] == claims["iss"] + "/.well-known/keys"
    assert identity.introspect_signed_id_token(signed["token"]) == {"active": True}
    assert identity.introspect_signed_id_token(signed["token"], client_id="x")["active"] is False
    root.write("identity/oidc/key/k/rotate", verification_ttl="10m")
    assert identity.introspect_signed_id_token(signed["token"])["active"] is True
    newer = holder.secrets.identity.generate_signed_id_token("r")["data"]["token"]
    assert part(newer, 0)["kid"] != part(signed["token"], 0)["kid"]
    root.write("identity/oidc/key/k/rotate", verification_ttl="0s")
    text = refused(exceptions.InvalidRequest, identity.delete_named_key, "k")
    assert 'unable to delete key "k" because it is currently referenced by these roles: r' in text
    identity.delete_role("r")
    refused(exceptions.InvalidPath, identity.read_role, "r")
    identity.delete_named_key("k")
    refused(exceptions.InvalidPath, identity.read_named_key, "k")
    identity.configure_tokens_backend(issuer="")


def main():
    root = client()
    print("entities", flush=True)
    bob = entities(root)
    print("aliases", flush=True)
    accessor = aliases(root, bob)
    print("groups", flush=True)
    groups(root, bob, accessor)
    print("merging", flush=True)
    merging(root)
    print("tokens", flush=True)
    tokens(root)


if __name__ == "__main__":
    main()
