//! The decision: may a caller with these policies do this to that path?

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::capability::{Capabilities, Capability};
use super::factor::{FactorDemand, Shown};
use super::index::{Found, Policy, Rules};
use super::parse::Target;
use super::pattern::{Pattern, Rank};
use super::rule::{Merged, Rule};
use crate::fields::Fields;
use crate::time::Timestamp;

/// What policy is asked.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The canonical path, relative to the tenant.
    pub path: &'a str,
    /// What is to be done to it.
    pub capability: Capability,
    /// `sudo` is needed besides.
    pub sudo: bool,
    /// The request's parameters, for rules about them; `None` is the same as no field.
    pub parameters: Option<&'a Fields<'a>>,
    /// How long the answer is to be wrapped; `None` when it is not.
    pub wrap_ttl: Option<Duration>,
}

impl<'a> Ask<'a> {
    /// A question without conditions.
    pub fn new(path: &'a str, capability: Capability) -> Self {
        Self { path, capability, sudo: false, parameters: None, wrap_ttl: None }
    }
}

/// What is known about the caller: for templates, `identity.entity.id` and its value, and so on; and the second factors that
/// its token has shown.
#[derive(Default)]
pub struct Identity {
    values: BTreeMap<String, String>,
    shown: Shown,
}

impl Identity {
    /// Whether the caller stands for no entity at all.
    fn is_nobody(&self) -> bool {
        self.values.is_empty()
    }

    /// Sets the value of a template name (the text between the braces).
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// Says that the token has shown a second factor, which policies call `method`.
    pub fn has_shown(&mut self, method: impl Into<String>, time: Timestamp) {
        self.shown.add(method.into(), time);
    }
}

/// All policies of one caller.
pub struct Acl {
    policies: Vec<Arc<Policy>>,
    /// The rules with templates or an expiration, as far as they hold for this caller now.
    own: Rules,
    root: bool,
    /// Set when a template had no usable value: then nothing is granted at all.
    broken: Option<String>,
    valid_until: Option<Timestamp>,
    /// What is demanded somewhere and was not shown lately.
    missing: Vec<FactorDemand>,
}

impl Acl {
    /// Of a caller with the root policy.
    pub fn root() -> Self {
        Self { root: true, ..Self::new(Vec::new(), &Identity::default(), Timestamp(0)) }
    }

    /// Of a caller with these policies, at the time `now`, which decides what has expired.
    ///
    /// A template whose value is absent, empty, or has `/`, `*`, `+` or a control character in it makes the whole answer
    /// "denied": to leave out only its rule could leave out the deny, or the narrower rule, that was meant to hold. But for
    /// a caller without any entity, a rule about the paths with its own id or name is about no path, and is left out, unless
    /// it denies.
    pub fn new(policies: Vec<Arc<Policy>>, identity: &Identity, now: Timestamp) -> Self {
        Self::of(policies, Some(identity), now)
    }

    /// What these policies say of callers of whom nothing is known yet: rules with templates are left out. Nobody is let in by
    /// this; it is what can be told of a role.
    pub fn without_templates(policies: Vec<Arc<Policy>>, now: Timestamp) -> Self {
        Self::of(policies, None, now)
    }

    fn of(policies: Vec<Arc<Policy>>, identity: Option<&Identity>, now: Timestamp) -> Self {
        let mut acl = Self { policies, own: Rules::default(), root: false, broken: None, valid_until: None, missing: Vec::new() };
        acl.judge_factors(identity.map_or(&Shown::default(), |identity| &identity.shown), now);
        for (target, rule) in acl.policies.iter().flat_map(|policy| &policy.conditional) {
            if rule.expiration.is_some_and(|until| until <= now) {
                continue;
            }
            acl.valid_until = acl.valid_until.into_iter().chain(rule.expiration).min();
            match target {
                Target::Fixed(pattern) => acl.own.add(pattern.clone(), Arc::clone(rule)),
                Target::Templated(text) => match identity.map(|identity| (fill(text, identity), identity)) {
                    None => {}
                    Some((Ok(pattern), _)) => acl.own.add(pattern, Arc::clone(rule)),
                    // Nobody's own paths are no paths at all.
                    Some((Err(name), identity))
                        if identity.is_nobody() && is_own(&name) && rule.capabilities.grants_something() => {}
                    Some((Err(name), _)) => acl.broken = Some(name),
                },
            }
        }
        acl.own.seal();
        acl
    }

    /// Works out which demands are met, and until when that stays so.
    fn judge_factors(&mut self, shown: &Shown, now: Timestamp) {
        for demand in self.policies.iter().flat_map(|policy| &policy.demands) {
            match shown.meets_until(demand, now).filter(|until| *until > now) {
                Some(until) => self.valid_until = Some(self.valid_until.map_or(until, |known| known.min(until))),
                None => self.missing.push(demand.clone()),
            }
        }
    }

    /// The name of a template without a usable value, for the operator's log. Nothing is granted then.
    pub fn broken_template(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// When the first rule expires that has not yet, or a second factor was shown too long ago: until then, answers stay as
    /// they are.
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.valid_until
    }

    /// Whether the caller has the root policy.
    pub fn is_root(&self) -> bool {
        self.root
    }

    /// What is granted on a path, conditions aside. A path with a slash at the end is looked up as a list is.
    pub fn capabilities(&self, path: &str) -> Capabilities {
        if self.root {
            return Capabilities::ROOT;
        }
        self.find(path, path.ends_with('/')).map_or(Capabilities::NONE, |found| self.rules(found).capabilities())
    }

    /// Whether all conditions hold.
    pub fn decide(&self, ask: &Ask<'_>) -> bool {
        if self.root {
            return ask.capability != Capability::Deny;
        }
        let directory = matches!(ask.capability, Capability::List | Capability::Scan);
        self.find(ask.path, directory).is_some_and(|found| self.rules(found).allow(ask) && self.lacks(found).is_none())
    }

    /// What has to be shown for `ask` to be granted, when nothing else is in the way.
    pub fn wants(&self, ask: &Ask<'_>) -> Option<&FactorDemand> {
        let directory = matches!(ask.capability, Capability::List | Capability::Scan);
        self.find(ask.path, directory).filter(|found| self.rules(*found).allow(ask)).and_then(|found| self.lacks(found))
    }

    /// Whether `sudo` is granted on a path, and what has to be shown for anything there was shown.
    pub fn has_sudo(&self, path: &str) -> bool {
        let found = self.find(path, path.ends_with('/'));
        let granted = |found| self.rules(found).capabilities().grants(Capability::Sudo) && self.lacks(found).is_none();
        self.root || found.is_some_and(granted)
    }

    /// Whether a path is denied explicitly, or may be: a template without a value could have been the one that denies it. One
    /// where a second factor is missing is denied until it is shown.
    pub fn denies(&self, path: &str) -> bool {
        let lacks = || self.find(path, path.ends_with('/')).is_some_and(|found| self.lacks(found).is_some());
        self.broken.is_some() || self.capabilities(path).denies() || lacks()
    }

    /// Whether anything is granted at `prefix` (a mount) or below it.
    pub fn sees_below(&self, prefix: &str) -> bool {
        let directory = if prefix.ends_with('/') { Cow::Borrowed(prefix) } else { Cow::Owned(format!("{prefix}/")) };
        if self.capabilities(&directory).grants_something() {
            return true;
        }
        if self.broken.is_some() {
            return false;
        }
        let longest = self.indexes().filter_map(|rules| rules.longest_prefix(&directory)).max_by_key(|text| text.len());
        let below = self.indexes().flat_map(|rules| rules.below(&directory)).chain(longest.map(Found::Prefix));
        below.into_iter().any(|found| self.rules(found).capabilities().grants_something())
    }

    /// What is granted, by pattern: paths themselves, and what stands before a glob (wildcard segments included).
    pub fn resultant(&self) -> (BTreeMap<&str, Capabilities>, BTreeMap<&str, Capabilities>) {
        let (mut exact, mut globs) = (BTreeMap::new(), BTreeMap::new());
        if self.broken.is_none() {
            for found in self.indexes().flat_map(Rules::all) {
                let (text, glob) = found.text();
                if glob { &mut globs } else { &mut exact }.insert(text, self.rules(found).capabilities());
            }
        }
        (exact, globs)
    }

    /// The strongest pattern for a path. For a directory the patterns count that match it with or without the slash at the
    /// end: policies are written both ways. Taking the strongest of all, rather than the first form that matches, keeps a
    /// stricter rule below from being skipped.
    fn find(&self, path: &str, directory: bool) -> Option<Found<'_>> {
        if self.broken.is_some() {
            return None;
        }
        if !directory {
            return self.exact(path).or_else(|| self.strongest(path).map(|(_, found)| found));
        }
        let bare = path.strip_suffix('/').unwrap_or(path);
        let slashed = if path.ends_with('/') { Cow::Borrowed(path) } else { Cow::Owned(format!("{path}/")) };
        self.exact(&slashed).or_else(|| self.exact(bare)).or_else(|| {
            let both = self.strongest(&slashed).into_iter().chain(self.strongest(bare));
            both.max_by_key(|(rank, _)| *rank).map(|(_, found)| found)
        })
    }

    fn exact(&self, path: &str) -> Option<Found<'_>> {
        self.indexes().find_map(|rules| rules.exact(path))
    }

    fn strongest(&self, path: &str) -> Option<(Rank<'_>, Found<'_>)> {
        self.indexes().filter_map(|rules| rules.strongest(path)).max_by_key(|(rank, _)| *rank)
    }

    fn indexes(&self) -> impl Iterator<Item = &Rules> + Clone {
        self.policies.iter().map(|policy| &policy.rules).chain(std::iter::once(&self.own))
    }

    /// A demand of any rule for a pattern that is not met: all of them count.
    fn lacks<'s>(&'s self, found: Found<'s>) -> Option<&'s FactorDemand> {
        if self.missing.is_empty() {
            return None;
        }
        self.rules(found).filter_map(|rule| rule.factor.as_ref()).find(|demand| self.missing.contains(demand))
    }

    /// The rules for a pattern, of all policies.
    fn rules<'s>(&'s self, found: Found<'s>) -> impl Merged<'s> {
        self.indexes().flat_map(move |rules| rules.group(found)).map(AsRef::<Rule>::as_ref)
    }
}

/// Whether a template is what only an entity has, and every entity.
fn is_own(name: &str) -> bool {
    matches!(name, "identity.entity.id" | "identity.entity.name")
}

/// Puts the caller's values into a templated pattern. The error is the name of the template that has none.
fn fill(text: &str, identity: &Identity) -> Result<Pattern, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, tail) = after.split_once("}}").ok_or(after)?;
        let name = name.trim();
        let value = identity.values.get(name).map(String::as_str).unwrap_or_default();
        if value.is_empty() || value.contains(['/', '*', '+']) || value.chars().any(char::is_control) {
            return Err(name.to_owned());
        }
        filled.push_str(before);
        filled.push_str(value);
        rest = tail;
    }
    filled.push_str(rest);
    Pattern::parse(&filled).map_err(|_| text.to_owned())
}

#[cfg(test)]
mod tests;
