//! One rule: what is granted on a pattern, and under which conditions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;

use super::capability::{Capabilities, Capability};
use super::evaluate::Ask;
use super::factor::FactorDemand;
use crate::fields::Fields;
use crate::time::Timestamp;

/// Values that a parameter is tied to; none means: any value. Texts may begin and end with `*`.
pub(super) type Values = Vec<String>;

/// The content of one `path` block.
#[derive(Default)]
pub(super) struct Rule {
    pub(super) capabilities: Capabilities,
    /// By name in lower case; `*` stands for all. When not empty, other parameters are refused.
    pub(super) allowed: BTreeMap<String, Values>,
    pub(super) denied: BTreeMap<String, Values>,
    pub(super) required: Vec<String>,
    pub(super) min_wrapping_ttl: Option<Duration>,
    pub(super) max_wrapping_ttl: Option<Duration>,
    /// After this time the rule is as if it were not written.
    pub(super) expiration: Option<Timestamp>,
    /// What has to have been shown for anything on the pattern.
    pub(super) factor: Option<FactorDemand>,
}

/// All rules for one pattern, of all policies of the caller.
pub(super) trait Merged<'r>: Iterator<Item = &'r Rule> + Clone {
    /// The union.
    fn capabilities(self) -> Capabilities {
        self.fold(Capabilities::NONE, |all, rule| all.union(rule.capabilities))
    }

    /// Whether the rules together allow `ask`. They are gone through once where none is about parameters.
    fn allow(self, ask: &Ask<'_>) -> bool {
        let together = self.clone().fold(Together::default(), Together::with);
        together.capabilities.grants(ask.capability)
            && (!ask.sudo || together.capabilities.grants(Capability::Sudo))
            && together.allow_wrapping(ask.wrap_ttl)
            && (!together.has_parameters || !reads_parameters(ask.capability) || self.allow_parameters(ask.parameters))
    }

    /// What any rule requires must be there, what any rule denies must not, and if any rule names what is allowed,
    /// everything must be named by one.
    fn allow_parameters(self, parameters: Option<&Fields<'_>>) -> bool {
        let required = self.clone().flat_map(|rule| &rule.required);
        let present = |name: &String| parameters.is_some_and(|fields| fields.has(name));
        if !required.into_iter().all(present) {
            return false;
        }
        let constrained = self.clone().any(|rule| !rule.allowed.is_empty() || !rule.denied.is_empty());
        let Some(fields) = parameters.filter(|fields| constrained && !fields.is_empty()) else { return true };
        if self.clone().any(|rule| rule.denied.contains_key("*")) {
            return false;
        }
        let limited = self.clone().any(|rule| !rule.allowed.is_empty());
        let everything = self.clone().any(|rule| rule.allowed.contains_key("*"));
        fields.iter().all(|(name, value)| {
            let name = name.to_lowercase();
            let mut denying = self.clone().filter_map(|rule| rule.denied.get(&name));
            if denying.any(|values| values.is_empty() || touches(value, values)) {
                return false;
            }
            let mut naming = self.clone().filter_map(|rule| rule.allowed.get(&name)).peekable();
            if naming.peek().is_none() {
                return !limited || everything;
            }
            naming.any(|values| values.is_empty() || scalar(value).is_some_and(|text| one_of(&text, values)))
        })
    }
}

impl<'r, I: Iterator<Item = &'r Rule> + Clone> Merged<'r> for I {}

/// What rules come to together. The smallest of each bound counts: the shorter a wrapped answer lives, the better.
#[derive(Default)]
struct Together {
    capabilities: Capabilities,
    shortest_wrapping_ttl: Option<Duration>,
    longest_wrapping_ttl: Option<Duration>,
    /// Some rule is about parameters.
    has_parameters: bool,
}

impl Together {
    fn with(self, rule: &Rule) -> Self {
        let smallest = |known: Option<Duration>, bound: Option<Duration>| known.into_iter().chain(bound).min();
        Self {
            capabilities: self.capabilities.union(rule.capabilities),
            shortest_wrapping_ttl: smallest(self.shortest_wrapping_ttl, rule.min_wrapping_ttl),
            longest_wrapping_ttl: smallest(self.longest_wrapping_ttl, rule.max_wrapping_ttl),
            has_parameters: self.has_parameters
                || !(rule.required.is_empty() && rule.allowed.is_empty() && rule.denied.is_empty()),
        }
    }

    fn allow_wrapping(&self, wrap_ttl: Option<Duration>) -> bool {
        let (shortest, longest) = (self.shortest_wrapping_ttl, self.longest_wrapping_ttl);
        if shortest.is_none() && longest.is_none() {
            return true;
        }
        wrap_ttl.is_some_and(|ttl| shortest.is_none_or(|least| ttl >= least) && longest.is_none_or(|most| ttl <= most))
    }
}

/// Deleting and listing take no parameters that a rule could be about.
fn reads_parameters(capability: Capability) -> bool {
    matches!(capability, Capability::Read | Capability::Create | Capability::Update | Capability::Patch)
}

/// Whether a denied value is anywhere in `value`. Fields convert weakly, so a list, a text with commas, and a
/// number that is written as text all count: otherwise a denied value would only have to be spelled differently.
fn touches(value: &RawValue, denied: &Values) -> bool {
    if let Some(text) = scalar(value) {
        return one_of(&text, denied) || text.split(',').any(|item| one_of(item.trim(), denied));
    }
    let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
    items.into_iter().filter_map(scalar).any(|item| one_of(&item, denied))
}

/// The text of a string, number or boolean.
fn scalar(value: &RawValue) -> Option<zeroize::Zeroizing<String>> {
    crate::fields::scalar_text(value)
}

fn one_of(text: &str, values: &Values) -> bool {
    values.iter().any(|value| glob_matches(value, text))
}

/// `*` counts at the start and at the end.
fn glob_matches(glob: &str, text: &str) -> bool {
    if glob == "*" {
        return true;
    }
    match (glob.strip_prefix('*'), glob.strip_suffix('*')) {
        (Some(tail), None) => text.ends_with(tail),
        (None, Some(head)) => text.starts_with(head),
        (Some(rest), Some(_)) => text.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (None, None) => text == glob,
    }
}
