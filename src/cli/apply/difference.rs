//! Comparing what is described with what is there, and how a difference is shown.

use std::fmt::Write as _;

use super::secrets::is_secret;
use crate::time::parse_duration;
use crate::tree::Tree;

/// A longer value is cut when it is shown.
const SHOWN_MAX: usize = 120;
const HIDDEN: &str = "(secret)";

/// A field as it is to be.
pub(super) struct Desired {
    /// `config.max_lease_ttl` for one in a block.
    pub(super) name: String,
    pub(super) value: Tree,
    /// It stands elsewhere, so it is never shown.
    pub(super) hidden: bool,
    /// An object: what is there and not described is a difference too.
    pub(super) whole: bool,
}

/// A field that is to become another.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Change {
    pub(super) field: String,
    /// As it is shown; none where nothing is.
    pub(super) old: Option<String>,
    pub(super) new: Option<String>,
}

/// What differs. `find` gives the present value of a field. Of a secret that the server does not show nothing is known: it
/// counts as the same.
pub(super) fn changes<'p>(desired: &[Desired], find: impl Fn(&str) -> Option<&'p Tree>) -> Vec<Change> {
    let mut changes = Vec::new();
    for field in desired {
        let present = find(&field.name);
        let unknown = present.is_none() && field.hidden;
        if !unknown && !same(&field.value, present.unwrap_or(&Tree::Null), field.whole) {
            changes.push(change(field, present));
        }
    }
    changes
}

/// All fields of something new.
pub(super) fn additions(desired: &[Desired]) -> Vec<Change> {
    desired.iter().filter(|field| !field.value.is_empty()).map(|field| change(field, None)).collect()
}

fn change(field: &Desired, present: Option<&Tree>) -> Change {
    let show = |value: &Tree| if field.hidden { HIDDEN.to_owned() } else { shown(value) };
    Change { field: field.name.clone(), old: present.map(show), new: Some(show(&field.value)) }
}

/// Whether two values mean the same. Servers take `"1h"` and show 3600, take `"a,b"` and show a list, and sort lists.
pub(super) fn same(desired: &Tree, present: &Tree, whole: bool) -> bool {
    match (desired, present) {
        (Tree::Map(desired), Tree::Map(present)) => {
            let described = desired.iter().all(|(name, value)| same(value, present.get(name).unwrap_or(&Tree::Null), whole));
            described && (!whole || present.iter().all(|(name, value)| value.is_empty() || desired.contains_key(name)))
        }
        (Tree::List(desired), Tree::List(present)) => same_items(desired, present),
        (Tree::Text(text), Tree::List(present)) => {
            let items: Vec<Tree> = text.expose().split(',').map(|item| Tree::text(item.trim())).collect();
            if text.expose().is_empty() { present.is_empty() } else { same_items(&items, present) }
        }
        (desired, present) if desired.is_empty() && present.is_empty() => true,
        (Tree::Number(number), Tree::Null) => number.as_f64() == Some(0.0),
        (Tree::Boolean(value), Tree::Null) => !value,
        _ => match (scalar(desired), scalar(present)) {
            (Some(desired_text), Some(present_text)) => {
                *desired_text == *present_text || same_duration(&desired_text, &present_text)
            }
            _ => false,
        },
    }
}

/// Without regard to order and repetition.
fn same_items(one: &[Tree], other: &[Tree]) -> bool {
    let within = |some: &[Tree], all: &[Tree]| some.iter().all(|item| all.iter().any(|other| same(item, other, true)));
    within(one, other) && within(other, one)
}

fn scalar(value: &Tree) -> Option<zeroize::Zeroizing<String>> {
    let text = match value {
        Tree::Text(text) => text.expose().to_owned(),
        Tree::Number(number) => number.to_string(),
        Tree::Boolean(value) => value.to_string(),
        _ => return None,
    };
    Some(text.into())
}

/// One of the two has a unit: bare numbers are the same as texts, or not at all.
fn same_duration(one: &str, other: &str) -> bool {
    let unit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(['s', 'm', 'h', 'd']);
    (unit(one) || unit(other)) && parse_duration(one).is_some_and(|duration| parse_duration(other) == Some(duration))
}

/// A value in one line.
fn shown(value: &Tree) -> String {
    let mut text = serde_json::to_string(&masked(value)).unwrap_or_default();
    if let Some((at, _)) = text.char_indices().nth(SHOWN_MAX) {
        text.truncate(at);
        text.push_str("..");
    }
    text
}

/// What is there may hold what no file does.
fn masked(value: &Tree) -> Tree {
    match value {
        Tree::Map(members) => {
            let member = |(name, value): (&String, &Tree)| {
                let secret = is_secret(name) && !matches!(value, Tree::Boolean(_) | Tree::Null);
                (name.clone(), if secret { Tree::text(HIDDEN) } else { masked(value) })
            };
            Tree::Map(members.iter().map(member).collect())
        }
        Tree::List(items) => Tree::List(items.iter().map(masked).collect()),
        plain => plain.duplicate(),
    }
}

/// The lines that differ between two texts, without those that they share at both ends.
pub(super) fn lines(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let tail = old.iter().skip(head).rev().zip(new.iter().skip(head).rev()).take_while(|(old, new)| old == new).count();
    let middle = |lines: &[&str], sign: char, out: &mut String| {
        for line in lines.iter().take(lines.len().saturating_sub(tail)).skip(head) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\n      {sign} {line}");
        }
    };
    let mut out = String::new();
    middle(&old, '-', &mut out);
    middle(&new, '+', &mut out);
    out
}

#[cfg(test)]
#[path = "difference_tests.rs"]
mod tests;
