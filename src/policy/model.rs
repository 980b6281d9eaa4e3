//! The evaluator against a naive model of the rules: every rule is tried on the path, the strongest pattern is chosen by
//! comparing pairs, and nothing is indexed.

use std::cmp::Ordering;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Acl, Ask, Capabilities, Capability, Identity, Policy};
use crate::time::Timestamp;

type Written = Vec<(String, Vec<Capability>)>;

/// `start` says whether a segment begins here.
fn matches(pattern: &str, path: &str, start: bool) -> bool {
    if pattern == "*" {
        return true;
    }
    if start && (pattern == "+" || pattern.starts_with("+/")) {
        let end = path.find('/').unwrap_or(path.len());
        return matches(&pattern[1..], &path[end..], false);
    }
    match (pattern.chars().next(), path.chars().next()) {
        (None, None) => true,
        (Some(a), Some(b)) if a == b => matches(&pattern[1..], &path[1..], a == '/'),
        _ => false,
    }
}

fn wildcards(pattern: &str) -> usize {
    pattern.split('/').filter(|segment| *segment == "+").count()
}

fn first_special(pattern: &str) -> usize {
    (0..pattern.len())
        .find(|at| {
            let segment_starts = *at == 0 || pattern.as_bytes()[at - 1] == b'/';
            pattern[*at..] == *"*" || (segment_starts && (pattern[*at..] == *"+" || pattern[*at..].starts_with("+/")))
        })
        .unwrap_or(usize::MAX)
}

/// `Greater` when `a` is the stronger pattern. Exact patterns never get here together with others.
fn stronger(a: &str, b: &str) -> Ordering {
    let by_first = first_special(a).cmp(&first_special(b));
    let by_glob = b.ends_with('*').cmp(&a.ends_with('*'));
    let by_wildcards = wildcards(b).cmp(&wildcards(a));
    let by_length = a.trim_end_matches('*').len().cmp(&b.trim_end_matches('*').len());
    by_first.then(by_glob).then(by_wildcards).then(by_length).then(a.cmp(b))
}

fn chosen<'a>(policies: &'a [Written], path: &str, directory: bool) -> Option<&'a str> {
    let all = || policies.iter().flatten().map(|(pattern, _)| pattern.as_str());
    let mut forms = vec![path.to_owned()];
    if directory {
        let bare = path.strip_suffix('/').unwrap_or(path);
        forms = vec![format!("{bare}/"), bare.to_owned()];
    }
    for form in &forms {
        if let Some(exact) = all().find(|pattern| first_special(pattern) == usize::MAX && pattern == form) {
            return Some(exact);
        }
    }
    let special = all().filter(|pattern| first_special(pattern) != usize::MAX);
    special.filter(|pattern| forms.iter().any(|form| matches(pattern, form, true))).max_by(|a, b| stronger(a, b))
}

fn granted(policies: &[Written], path: &str, directory: bool) -> Capabilities {
    let Some(chosen) = chosen(policies, path, directory) else { return Capabilities::NONE };
    let rules = policies.iter().flatten().filter(|(pattern, _)| pattern == chosen);
    rules.flat_map(|(_, capabilities)| capabilities.iter().copied()).collect()
}

fn text(policy: &Written) -> String {
    let rule = |(pattern, capabilities): &(String, Vec<Capability>)| {
        let names: Vec<String> = capabilities.iter().map(|capability| format!("{:?}", capability.name())).collect();
        format!("path {pattern:?} {{\n  capabilities = [{}]\n}}\n", names.join(", "))
    };
    policy.iter().map(rule).collect()
}

fn acl(policies: &[Written]) -> Acl {
    let compiled = policies.iter().map(|policy| Arc::new(Policy::parse("p", &text(policy)).unwrap()));
    Acl::new(compiled.collect(), &Identity::default(), Timestamp(0))
}

/// Few different segments, so that patterns and paths meet often.
fn segments(segment: &'static str, most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(segment, 1..=most).prop_map(|segments| segments.join("/"))
}

fn pattern() -> impl Strategy<Value = String> {
    let end = prop_oneof![3 => Just(""), 2 => Just("*"), 1 => Just("/"), 2 => Just("/*")];
    let pattern = (segments("a|b|ab|aa|\\+|\\+", 4), end).prop_map(|(body, end)| format!("{body}{end}"));
    prop_oneof![20 => pattern, 1 => Just("*".to_owned())].prop_filter("refused", |pattern| !pattern.contains("+*"))
}

fn policies() -> impl Strategy<Value = Vec<Written>> {
    let capability = prop::sample::select(Capability::ALL.to_vec());
    let granted = prop_oneof![4 => prop::collection::vec(capability, 1..4), 1 => Just(vec![Capability::Deny]), 1 => Just(vec![])];
    prop::collection::vec(prop::collection::vec((pattern(), granted), 0..12), 0..4)
}

fn path() -> impl Strategy<Value = String> {
    (segments("a|b|ab|aa|c", 4), prop_oneof![4 => Just(""), 1 => Just("/")]).prop_map(|(body, end)| format!("{body}{end}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn decisions_agree(policies in policies(), paths in prop::collection::vec(path(), 1..8)) {
        let acl = acl(&policies);
        for path in &paths {
            prop_assert_eq!(acl.capabilities(path).names(), granted(&policies, path, path.ends_with('/')).names(), "{}", path);
            for capability in Capability::ALL {
                let directory = matches!(capability, Capability::List | Capability::Scan);
                let model = granted(&policies, path, directory);
                prop_assert_eq!(acl.decide(&Ask::new(path, capability)), model.grants(capability), "{:?} {}", capability, path);
                let sudo = Ask { sudo: true, ..Ask::new(path, capability) };
                prop_assert_eq!(acl.decide(&sudo), model.grants(capability) && model.grants(Capability::Sudo));
            }
        }
    }

    #[test]
    fn the_order_of_policies_does_not_count(policies in policies(), path in path()) {
        let mut reversed: Vec<Written> = policies.iter().rev().cloned().collect();
        for policy in &mut reversed {
            policy.reverse();
        }
        prop_assert_eq!(acl(&policies).capabilities(&path), acl(&reversed).capabilities(&path));
    }

    #[test]
    fn who_may_do_something_below_a_mount_sees_it(policies in policies(), mount in segments("a|b|ab", 2), path in path()) {
        let below = format!("{mount}/{path}");
        let something = granted(&policies, &below, below.ends_with('/')).grants_something();
        let sees = acl(&policies).sees_below(&format!("{mount}/"));
        prop_assert!(sees || !something);
    }

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        if let Ok(policy) = Policy::parse("p", &text) {
            let acl = Acl::new(vec![Arc::new(policy)], &Identity::default(), Timestamp(0));
            prop_assert!(!acl.decide(&Ask::new(&text, Capability::Deny)));
        }
    }
}
