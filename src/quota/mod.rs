//! Rate limits: rules that an operator makes for the deployment, a namespace, a mount or a path, and counting by them.
//!
//! Owns which rule holds for a request, how often it was used in its interval, and which part of a limit this server has where there are
//! several. Knows neither requests nor who may make rules, nor how servers tell each other of their parts.

mod buckets;
mod claims;
mod share;

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::{Address, Kind, Listing};

pub use buckets::{Buckets, Refused, Taken};
pub use claims::Id;

/// The most rules.
pub const RULES_MAX: usize = 4_096;

/// Whose requests a rule counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    /// Those of one address.
    #[default]
    Ip,
    /// All of them.
    None,
}

/// What a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// A namespace, whose path is empty.
    Namespace,
    /// A mount in it.
    Mount,
    /// All paths in it that begin so.
    Prefix,
    /// A path in it.
    Path,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// `a/b/`, empty for the root.
    pub namespace: String,
    /// In the namespace: `secret/`, `secret/data/app`; of a prefix without its star.
    pub path: String,
    /// What both name.
    pub scope: Scope,
    /// Requests in an interval.
    pub rate: f64,
    /// Nanoseconds.
    interval: u64,
    /// Nanoseconds that whoever went past the rate is refused for; 0 for what is left of the interval.
    block_interval: u64,
    /// A namespace's rule holds for those below it, too, that have none.
    pub inheritable: bool,
    /// Whose requests are counted together.
    #[serde(default)]
    pub group_by: GroupBy,
}

/// All rules, and how they are applied: one record of the root tenant, read with every request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Quotas {
    /// By their names. Whoever changes them makes another value: see `index`.
    pub rules: BTreeMap<String, Rule>,
    /// Paths in a namespace that no rule holds for; the usual ones where nobody has said which.
    pub exempt: Option<Vec<String>>,
    /// Every refused request has its event. Else one of an interval has.
    #[serde(default)]
    pub audited: bool,
    /// Answers say how much is left.
    #[serde(default)]
    pub headers: bool,
    #[serde(skip)]
    index: OnceLock<Index>,
}

crate::json_record!(Quotas, Kind::Quotas, Listing::None);

/// Names of rules, by the namespaces that they are for.
type Index = HashMap<String, InNamespace>;

#[derive(Clone, Debug, Default)]
struct InNamespace {
    all: Option<String>,
    mounts: HashMap<String, String>,
    paths: HashMap<String, String>,
    /// The longest first.
    prefixes: Vec<(String, String)>,
}

/// What no rule holds for unless somebody says so.
pub const USUALLY_EXEMPT: [&str; 7] = [
    "sys/generate-recovery-token/attempt",
    "sys/generate-recovery-token/update",
    "sys/generate-root/attempt",
    "sys/generate-root/update",
    "sys/health",
    "sys/seal-status",
    "sys/unseal",
];

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Rule {
    /// A rule for what `namespace` and `path` name, which counts addresses apart.
    pub fn new((namespace, path, scope): (String, String, Scope), rate: f64, interval: Duration, block: Duration) -> Self {
        // A rule of the whole deployment that the namespaces did not inherit would be none.
        let inheritable = scope == Scope::Namespace && namespace.is_empty();
        let (interval, block_interval) = (nanos(interval), nanos(block));
        Self { namespace, path, scope, rate, interval, block_interval, inheritable, group_by: GroupBy::default() }
    }

    /// What the rate is for.
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// How long whoever went past the rate is refused; zero for the rest of the interval.
    pub fn block_interval(&self) -> Duration {
        Duration::from_nanos(self.block_interval)
    }

    /// Whole requests in an interval.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive, and past the range means no limit"
    )]
    pub fn limit(&self) -> u64 {
        (self.rate.round() as u64).max(1)
    }

    /// Whether this one and another would hold for the same.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.namespace, &self.path, self.scope) == (&other.namespace, &other.path, other.scope)
    }
}

impl Quotas {
    /// Where they are kept.
    pub fn address() -> Address {
        Address::system(Kind::Quotas, "")
    }

    /// The same with other rules.
    #[must_use]
    pub fn with(&self, rules: BTreeMap<String, Rule>) -> Self {
        Self { rules, exempt: self.exempt.clone(), audited: self.audited, headers: self.headers, index: OnceLock::new() }
    }

    /// The rule for a request, the one that says most about it, by its namespace (`a/b/`, empty for the root), the mount in it
    /// (empty for none) and the path in it.
    pub fn rule(&self, namespace: &str, mount: &str, path: &str) -> Option<(&str, &Rule)> {
        if self.rules.is_empty() || self.is_exempt(path) {
            return None;
        }
        let index = self.index.get_or_init(|| self.indexed());
        let own = index.get(namespace).and_then(|here| here.find(mount, path));
        let name = own.or_else(|| self.inherited(index, namespace))?;
        self.rules.get_key_value(name).map(|(name, rule)| (name.as_str(), rule))
    }

    fn inherited<'a>(&self, index: &'a Index, namespace: &str) -> Option<&'a str> {
        let mut above = namespace;
        while let Some(inner) = above.strip_suffix('/') {
            above = inner.rfind('/').map_or("", |slash| inner.get(..=slash).unwrap_or_default());
            let all = index.get(above).and_then(|there| there.all.as_deref());
            if let Some(name) = all.filter(|name| self.rules.get(*name).is_some_and(|rule| rule.inheritable)) {
                return Some(name);
            }
        }
        None
    }

    fn indexed(&self) -> Index {
        let mut index = Index::new();
        for (name, rule) in &self.rules {
            let here = index.entry(rule.namespace.clone()).or_default();
            let (path, name) = (rule.path.clone(), name.clone());
            match rule.scope {
                Scope::Namespace => here.all = Some(name),
                Scope::Mount => drop(here.mounts.insert(path, name)),
                Scope::Path => drop(here.paths.insert(path, name)),
                Scope::Prefix => here.prefixes.push((path, name)),
            }
        }
        for here in index.values_mut() {
            here.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        }
        index
    }

    fn is_exempt(&self, path: &str) -> bool {
        let is = |exempt: &str| match exempt.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == exempt,
        };
        match &self.exempt {
            Some(exempt) => exempt.iter().any(|exempt| is(exempt)),
            None => USUALLY_EXEMPT.into_iter().any(is),
        }
    }
}

impl InNamespace {
    fn find(&self, mount: &str, path: &str) -> Option<&str> {
        let prefix = || self.prefixes.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, name)| name);
        let found = self.paths.get(path).or_else(prefix).or_else(|| self.mounts.get(mount));
        found.or(self.all.as_ref()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(rules: &[(&str, &str, &str, Scope, bool)]) -> Quotas {
        let rule = |&(name, namespace, path, scope, inheritable): &(&str, &str, &str, Scope, bool)| {
            let rule = Rule::new((namespace.to_owned(), path.to_owned(), scope), 1.0, Duration::from_secs(1), Duration::ZERO);
            (name.to_owned(), Rule { inheritable, ..rule })
        };
        Quotas::default().with(rules.iter().map(rule).collect())
    }

    #[test]
    fn the_rule_that_says_most_about_a_request_holds() {
        let all = quotas(&[
            ("all", "", "", Scope::Namespace, true),
            ("team", "team/", "", Scope::Namespace, true),
            ("own", "team/own/", "", Scope::Namespace, false),
            ("mount", "team/", "secret/", Scope::Mount, false),
            ("prefix", "team/", "secret/data/a", Scope::Prefix, false),
            ("longer", "team/", "secret/data/ab", Scope::Prefix, false),
            ("path", "team/", "secret/data/abc", Scope::Path, false),
        ]);
        let names = [
            ("", "secret/", "secret/data/abc", "all"),
            ("team/", "kv/", "kv/data/abc", "team"),
            ("team/", "", "nothing/here", "team"),
            ("team/secret/", "", "data/x", "team"),
            ("team/", "secret/", "secret/data/x", "mount"),
            ("team/", "secret/", "secret/data/a", "prefix"),
            ("team/", "secret/", "secret/data/abd", "longer"),
            ("team/", "secret/", "secret/data/abc", "path"),
            ("team/own/", "secret/", "secret/data/abc", "own"),
            ("team/own/deeper/", "secret/", "secret/data/abc", "team"),
            ("teams/", "secret/", "secret/data/abc", "all"),
        ];
        for (namespace, mount, path, name) in names {
            assert_eq!(all.rule(namespace, mount, path).map(|(name, _)| name), Some(name), "{namespace} {path}");
        }
        assert_eq!(quotas(&[("own", "a/", "", Scope::Namespace, false)]).rule("a/b/", "", "x"), None);
        let changed = all.with(BTreeMap::new());
        assert_eq!(changed.rule("team/", "", "x"), None, "what was indexed goes with the rules");
    }

    #[test]
    fn exempt_paths_have_no_rule() {
        let mut all = quotas(&[("all", "", "", Scope::Namespace, true)]);
        assert_eq!(all.rule("", "sys/", "sys/health"), None);
        assert!(all.rule("", "sys/", "sys/mounts").is_some());
        all.exempt = Some(vec!["sys/mo*".to_owned()]);
        assert_eq!(all.rule("a/", "sys/", "sys/mounts"), None);
        assert!(all.rule("", "sys/", "sys/health").is_some());
    }
}
