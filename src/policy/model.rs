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

/// A rule with what it demands to have been shown: any of some methods, within so many seconds.
type Guarded = (String, Vec<Capability>, Option<(Vec<&'static str>, u64)>);

const METHODS: [&str; 3] = ["m", "n", "o"];

fn guarded_policies() -> impl Strategy<Value = Vec<Vec<Guarded>>> {
    let capability = prop::sample::select(Capability::ALL.to_vec());
    let methods = prop::collection::vec(prop::sample::select(METHODS.to_vec()), 1..3);
    let demand = prop::option::of((methods, 1_u64..60));
    let rule = (pattern(), prop::collection::vec(capability, 0..4), demand);
    prop::collection::vec(prop::collection::vec(rule, 0..8), 0..4)
}

fn guarded_text(policy: &[Guarded]) -> String {
    let rule = |(pattern, capabilities, demand): &Guarded| {
        let names: Vec<&str> = capabilities.iter().map(|capability| capability.name()).collect();
        let demand = demand
            .as_ref()
            .map_or(String::new(), |(methods, age)| format!("  mfa_methods = {methods:?}\n  mfa_max_age = \"{age}s\"\n"));
        format!("path {pattern:?} {{\n  capabilities = {names:?}\n{demand}}}\n")
    };
    policy.iter().map(rule).collect()
}

fn second(second: u64) -> Timestamp {
    Timestamp(0).plus(std::time::Duration::from_secs(second))
}

/// Every demand for the chosen pattern is met by something that was shown, not in the future, and not too long ago.
fn met(policies: &[Vec<Guarded>], shown: &[(&str, u64)], path: &str, directory: bool, now: u64) -> bool {
    let plain: Vec<Written> =
        policies.iter().map(|policy| policy.iter().map(|(pattern, own, _)| (pattern.clone(), own.clone())).collect()).collect();
    let Some(chosen) = chosen(&plain, path, directory) else { return true };
    let demands = policies.iter().flatten().filter(|(pattern, ..)| pattern == chosen).filter_map(|(.., demand)| demand.as_ref());
    let meets = |methods: &[&str], age: u64| {
        shown.iter().any(|(method, time)| methods.contains(method) && *time <= now && now < *time + age)
    };
    demands.into_iter().all(|(methods, age)| meets(methods, *age))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_demand_for_a_factor_is_met_as_the_model_says(
        policies in guarded_policies(),
        shown in prop::collection::vec((prop::sample::select(METHODS.to_vec()), 60_u64..110), 0..4),
        paths in prop::collection::vec(path(), 1..6),
        later in 0_u64..40,
    ) {
        let compiled: Vec<Arc<Policy>> =
            policies.iter().map(|policy| Arc::new(Policy::parse("p", &guarded_text(policy)).unwrap())).collect();
        let mut identity = Identity::default();
        for (method, time) in &shown {
            identity.has_shown(*method, second(*time));
        }
        let acl = Acl::new(compiled.clone(), &identity, second(100));
        let plain: Vec<Written> =
            policies.iter().map(|policy| policy.iter().map(|(pattern, own, _)| (pattern.clone(), own.clone())).collect()).collect();
        for path in &paths {
            for capability in Capability::ALL {
                let directory = matches!(capability, Capability::List | Capability::Scan);
                let granted = granted(&plain, path, directory).grants(capability);
                let met = met(&policies, &shown, path, directory, 100);
                prop_assert_eq!(acl.decide(&Ask::new(path, capability)), granted && met, "{:?} {}", capability, path);
                prop_assert_eq!(acl.wants(&Ask::new(path, capability)).is_some(), granted && !met);
                // It stays so for as long as it says.
                if acl.valid_until().is_none_or(|until| second(100 + later) < until) {
                    let then = Acl::new(compiled.clone(), &identity, second(100 + later));
                    let had = acl.decide(&Ask::new(path, capability));
                    prop_assert!(!had || then.decide(&Ask::new(path, capability)), "what was granted ended without notice");
                }
            }
            let directory = path.ends_with('/');
            let met = met(&policies, &shown, path, directory, 100);
            prop_assert_eq!(acl.has_sudo(path), granted(&plain, path, directory).grants(Capability::Sudo) && met);
            prop_assert!(met || acl.denies(path), "what waits for a factor is denied to whoever has another way in");
        }
    }

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
