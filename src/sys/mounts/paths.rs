//! Where a mount may be.

use crate::answer::Refusal;

/// First segments that belong to the server itself.
const RESERVED: [&str; 5] = ["sys/", "auth/", "cubbyhole/", "identity/", "audit/"];

/// Which of the two lists a mount is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Engines, `sys/mounts`.
    Secret,
    /// Auth methods, `sys/auth`.
    Auth,
}

/// The path of a mount as a client names it; it need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPath {
    /// Its list.
    pub class: Class,
    /// Its path in that list, with one slash at the end: `secret/`, `token/`.
    pub path: String,
}

impl MountPath {
    /// From a captured part of a URL, with or without a slash at the end. `None` when it is empty.
    pub fn new(class: Class, captured: &str) -> Option<Self> {
        let body = captured.strip_suffix('/').unwrap_or(captured);
        (!body.is_empty()).then(|| Self { class, path: format!("{body}/") })
    }

    /// The path below the tenant, which is also the record's name: `secret/`, `auth/token/`.
    pub fn whole(&self) -> String {
        match self.class {
            Class::Secret => self.path.clone(),
            Class::Auth => format!("auth/{}", self.path),
        }
    }

    /// True when it is below something that the server keeps for itself.
    pub fn is_reserved(&self) -> bool {
        self.class == Class::Secret && RESERVED.iter().any(|reserved| self.path.starts_with(reserved))
    }

    /// Whether a new mount may have this path, whatever else is mounted.
    pub fn check_new(&self) -> Result<(), Refusal> {
        if self.is_reserved() {
            return Err(Refusal::invalid(format!("cannot mount {:?}", self.path)));
        }
        // In policies, `+` stands for any segment, and `*` at the end for any rest.
        if self.path.contains('*') || self.path.split('/').any(|segment| segment == "+") {
            return Err(Refusal::invalid(format!("cannot mount {:?}: \"*\" and \"+\" have a meaning in policies", self.path)));
        }
        Ok(())
    }
}

/// What is in the way of a new mount at `whole`: the path of a mount that is the same, above or below, or of a child
/// namespace with the same first segment.
pub(in crate::sys) fn conflict(whole: &str, mounts: &[Box<str>], namespaces: &[Box<str>]) -> Option<String> {
    if let Some(mount) = mounts.iter().find(|mount| mount.starts_with(whole) || whole.starts_with(&***mount)) {
        return Some(mount.strip_prefix("auth/").unwrap_or(mount).to_owned());
    }
    let first = first_segment(whole);
    namespaces.iter().any(|name| **name == *first).then(|| format!("{first}/"))
}

/// The first segment of a path.
pub fn first_segment(path: &str) -> &str {
    path.split_once('/').map_or(path, |(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_keeps_for_itself_cannot_be_mounted() {
        for (path, allowed) in [
            ("secret", true),
            ("secret/", true),
            ("a/b/c", true),
            ("system", true),
            ("my auth", true),
            ("a+b", true),
            ("sys", false),
            ("sys/x", false),
            ("auth/x", false),
            ("cubbyhole", false),
            ("identity/a", false),
            ("audit", false),
            ("a*", false),
            ("*", false),
            ("a/+/b", false),
        ] {
            let path = MountPath::new(Class::Secret, path).unwrap();
            assert_eq!(path.check_new().is_ok(), allowed, "{path:?}");
        }
        assert_eq!(MountPath::new(Class::Secret, ""), None);
        assert_eq!(MountPath::new(Class::Auth, "ci").unwrap().whole(), "auth/ci/");
    }

    #[test]
    fn mounts_do_not_nest_and_share_no_segment_with_a_namespace() {
        let boxed = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect::<Vec<Box<str>>>();
        let mounts = boxed(&["auth/ci/", "deep/er/", "secret/", "sys/"]);
        let namespaces = boxed(&["team1"]);
        for (path, in_the_way) in [
            ("kv/", None),
            ("secret2/", None),
            ("deep/er2/", None),
            ("secret/", Some("secret/")),
            ("secret/below/", Some("secret/")),
            ("deep/", Some("deep/er/")),
            ("deep/er/est/", Some("deep/er/")),
            ("auth/ci/", Some("ci/")),
            ("auth/cd/", None),
            ("team1/", Some("team1/")),
            ("team1/kv/", Some("team1/")),
            ("team/", None),
        ] {
            assert_eq!(conflict(path, &mounts, &namespaces).as_deref(), in_the_way, "{path}");
        }
    }
}
