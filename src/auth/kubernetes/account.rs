//! Service accounts, as the tokens of a cluster name them.

use serde::Deserialize;

use crate::auth::signed::{Claims, Reason};

/// The longest name, in bytes: that of a DNS subdomain, as in a cluster.
const NAME_BYTES_MAX: usize = 253;

/// A service account.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// Where it is in the cluster.
    pub(super) namespace: String,
    /// Its name there.
    pub(super) name: String,
    /// Another one that is made later under the same name has another.
    pub(super) uid: String,
}

/// The claim `kubernetes.io`.
#[derive(Deserialize)]
struct Bound {
    namespace: String,
    serviceaccount: Object,
}

#[derive(Deserialize)]
struct Object {
    name: String,
    uid: String,
}

impl Account {
    /// Whose token this is. Only tokens that a cluster binds to a time and an audience say so in this form; older ones
    /// (`kubernetes.io/serviceaccount/..`) are nobody's here, because they never end.
    pub(super) fn of(claims: &Claims) -> Result<Self, Reason> {
        let bound = claims.find("kubernetes.io").ok_or("it is of no service account, or of the older form that never ends")?;
        let bound: Bound = serde_json::from_str(bound.get()).map_err(|_| "it does not name its service account")?;
        let account = Self { namespace: bound.namespace, name: bound.serviceaccount.name, uid: bound.serviceaccount.uid };
        if ![&account.namespace, &account.name, &account.uid].into_iter().all(|name| is_name(name)) {
            return Err("the name of its service account is none");
        }
        let subject = format!("system:serviceaccount:{}:{}", account.namespace, account.name);
        if claims.text("sub").as_deref() == Some(&subject) { Ok(account) } else { Err("its subject is another one") }
    }

    /// `namespace/name`, which no other account of the cluster has at the same time.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// What a cluster takes for a name, and so nothing that would split it.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;

    fn account(text: &str) -> Result<Account, Reason> {
        Account::of(&Claims::parse(&SecretBytes::new(text.as_bytes().to_vec())).unwrap())
    }

    #[test]
    fn a_token_names_its_service_account_in_one_form() {
        let good = r#"{"sub":"system:serviceaccount:team-a:web","kubernetes.io":{"namespace":"team-a","node":{"name":"n","uid":"1"},
            "pod":{"name":"web-1","uid":"2"},"serviceaccount":{"name":"web","uid":"6f2a-1"},"warnafter":1}}"#;
        let found = account(good).unwrap();
        assert_eq!((found.path().as_str(), found.uid.as_str()), ("team-a/web", "6f2a-1"));
        for (part, other) in [
            ("system:serviceaccount:team-a:web", "system:serviceaccount:team-b:web"),
            ("system:serviceaccount:team-a:web", "system:node:n"),
            (r#""sub":"system:serviceaccount:team-a:web","#, ""),
            (r#""namespace":"team-a""#, r#""namespace":"team-a/x""#),
            (r#""namespace":"team-a""#, r#""namespace":"Team-a""#),
            (r#""namespace":"team-a""#, r#""namespace":"""#),
            (r#""namespace":"team-a""#, r#""namespace":["team-a"]"#),
            (r#""namespace":"team-a","#, ""),
            (r#""uid":"6f2a-1""#, r#""uid":"""#),
            (r#""uid":"6f2a-1""#, r#""uid":1"#),
            (r#""name":"web","#, ""),
            (r#""serviceaccount""#, r#""account""#),
            (r#""kubernetes.io":{"#, r#""kubernetes":{"#),
        ] {
            let changed = good.replacen(part, other, 1);
            assert!(changed != good && account(&changed).is_err(), "{part} {other}");
        }
        let older = r#"{"iss":"kubernetes/serviceaccount","sub":"system:serviceaccount:team-a:web",
            "kubernetes.io/serviceaccount/namespace":"team-a","kubernetes.io/serviceaccount/service-account.name":"web",
            "kubernetes.io/serviceaccount/service-account.uid":"6f2a-1","kubernetes.io/serviceaccount/secret.name":"web-token"}"#;
        assert!(account(older).is_err());
    }

    #[test]
    fn a_name_has_no_more_bytes_than_kubernetes_gives_one() {
        for (bytes, taken) in [(253, true), (254, false)] {
            let name = "w".repeat(bytes);
            let text = format!(
                r#"{{"sub":"system:serviceaccount:team-a:{name}","kubernetes.io":{{"namespace":"team-a","serviceaccount":{{"name":"{name}","uid":"1"}}}}}}"#
            );
            assert_eq!(account(&text).is_ok(), taken, "{bytes}");
        }
    }
}
