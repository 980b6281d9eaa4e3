use std::path::PathBuf;

use super::*;
use crate::secret::SecretText;

fn read(file: &str, text: &str) -> Result<Description, String> {
    let source = Source { file: PathBuf::from(file), text: SecretText::new(text.to_owned()) };
    parse(&[source]).map_err(|error| error.to_string())
}

fn shown(description: &Description) -> Vec<String> {
    let space = |space: &Space| {
        let items = space.items.iter().map(|item| {
            let fields: Vec<&str> = item.fields.iter().map(|field| field.name.as_str()).collect();
            format!("{} {} {}", item.kind.word(), item.name, fields.join(","))
        });
        format!("{}: {}", space.path, items.collect::<Vec<_>>().join("; "))
    };
    description.spaces.iter().map(space).collect()
}

const HCL: &str = r#"
policy "top" { rules = "path \"a\" {}" }
namespace "acme" {
  custom_metadata = { tier = "gold" }
  object "auth/ci/role/x" {
    token_ttl = "1h"
    bind_secret_id = true
  }
  mount "secret/" {
    type = "kv-v2"
    config { max_lease_ttl = "1h" }
  }
  namespace "team" {
    policy "reader" {
      rules = <<EOT
path "secret/*" { capabilities = ["read"] }
EOT
    }
    group "ops" {
      members = ["alice"]
      metadata = { a = "b" }
    }
  }
}
namespace "acme" {
  object "auth/x/users/bob" { password = env("BOB") }
}
"#;

const JSON: &str = r#"{
  "policy": {"top": {"rules": "path \"a\" {}"}},
  "namespace": {
    "acme": {
      "custom_metadata": {"tier": "gold"},
      "object": {
        "auth/ci/role/x": {"token_ttl": "1h", "bind_secret_id": true},
        "auth/x/users/bob": {"password": {"eval_source": "env", "eval_type": "string", "env_var": "BOB"}}
      },
      "mount": {"secret": {"type": "kv-v2", "config": {"max_lease_ttl": "1h"}}},
      "namespace": {"team": {
        "policy": {"reader": {"rules": "path \"secret/*\" { capabilities = [\"read\"] }\n"}},
        "group": {"ops": {"members": ["alice"], "metadata": {"a": "b"}}}
      }}
    }
  }
}"#;

#[test]
fn both_syntaxes_say_the_same() {
    let expected = [
        ": policy top rules",
        "acme: mount secret type,config; object auth/ci/role/x token_ttl,bind_secret_id; object auth/x/users/bob password",
        "acme/team: policy reader rules; group ops members,metadata",
    ];
    for (file, text) in [("a.hcl", HCL), ("a.json", JSON)] {
        let description = read(file, text).unwrap();
        assert_eq!(shown(&description), expected, "{file}");
        let rules = &description.spaces[2].items[0].fields[0].value;
        let rules = rules.tree(&|_| Err(String::new())).unwrap();
        assert_eq!(rules.as_text(), Some("path \"secret/*\" { capabilities = [\"read\"] }\n"), "{file}");
        let password = &description.spaces[1].items[2].fields[0].value;
        assert!(password.has_origin());
        let found = password.tree(&|whence| Ok(SecretText::new(format!("{whence:?}")))).unwrap();
        assert_eq!(found.as_text(), Some("Environment(\"BOB\")"));
    }
}

#[test]
fn what_is_wrong_is_one_line_with_its_place_and_never_a_value() {
    for (text, expected) in [
        ("mount \"a\" {\n  typ = \"kv\"\n}", "a.hcl:2: mount \"a\" typ: unknown key; known here: type,"),
        ("mount \"a\" {\n}", "a.hcl:1: mount \"a\": needs a type"),
        ("\nmounts \"a\" {\n}", "a.hcl:2: mounts: unknown key; known here: mount, auth,"),
        ("namespace \"a\" {\n\n x = 1\n}", "a.hcl:3: namespace \"a\" x: unknown key"),
        ("namespace \"a/b\" {}", "a.hcl:1: namespace: needs a name"),
        ("mount {\n type = \"kv\"\n}", "a.hcl:1: mount: must be"),
        ("mount \"a\" \"b\" { type = \"kv\" }", "a.hcl:1: mount: has too many labels"),
        ("policy \"a\" {}", "needs either rules or file"),
        ("policy \"a\" {\n rules = \"\"\n file = \"b\"\n}", "needs either rules or file"),
        ("policy \"a\" {\n rules = 1\n}", "a.hcl:2: policy \"a\" rules: must be a text in quotes"),
        ("object \"a\" {}", "needs a field"),
        ("object \"a\" {\n b = 1\n b = 2\n}", "a.hcl:3: not HCL: "),
        ("object \"a\" { b = 1 }\nobject \"a\" { c = 1 }", "a.hcl:2: object \"a\": is already described in a.hcl:1"),
        ("object \"a\" {\n password = \"hunter2\"\n}", "a.hcl:2: object \"a\" password: a secret must not stand in the file"),
        (
            "object \"a\" {\n data {\n  x = [{ db_password = \"hunter2\" }]\n }\n}",
            "a.hcl:3: object \"a\" data db_password: a secret must",
        ),
        ("object \"a\" { x = \"-----BEGIN PRIVATE KEY-----hunter2\" }", "object \"a\" x: a secret must"),
        ("object \"a\" { x = hunter2 }", "a.hcl:1: only plain values are allowed"),
        ("object \"a\" { x = shell(\"hunter2\") }", "a.hcl:1: only plain values are allowed"),
        ("object \"a\" { x = { eval_source = \"hunter2\" } }", "only \"env\" and \"file\" are offered"),
        ("group \"a\" { members = \"hunter2\" }", "group \"a\" members: must be a list of names"),
        ("mount \"a\" {\n type = \"kv\"\n config = 1\n}", "mount \"a\" config: must be a block in braces"),
        ("namespace \"a\" { custom_metadata = {} }\nnamespace \"a\" { custom_metadata = {} }", "a.hcl:2: "),
        ("namespace \"a\" {", "a.hcl:1: not HCL"),
    ] {
        let error = read("a.hcl", text).err().unwrap_or_else(|| panic!("{text} is taken"));
        assert!(error.contains(expected), "{error}\n--- is not {expected}");
        assert!(!error.contains('\n') && !error.contains("hunter2"), "{error}");
    }
    assert!(parse(&[]).is_err());
}
