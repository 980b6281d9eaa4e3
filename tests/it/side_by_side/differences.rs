//! The list of differences: what this server answers otherwise than OpenBao, and why.
//!
//! ```text
//! == topic, topic: why
//! step | place | what OpenBao answers | what we answer
//! ```
//!
//! `*` at the beginning or the end of a part stands for any text. One line may explain many differences; in each of its topics it
//! must explain one.

use std::fmt;

use super::facts::Facts;

/// One fact that is not the same.
pub(super) struct Difference {
    pub(super) step: String,
    pub(super) place: String,
    pub(super) theirs: String,
    pub(super) ours: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} | {} | {} | {}", self.step, self.place, self.theirs, self.ours)
    }
}

/// What is not the same in the answers to one step; `-` stands for what is not there.
pub(super) fn between(step: &str, theirs: &Facts, ours: &Facts) -> Vec<Difference> {
    let side = |facts: &Facts, place: &str| facts.get(place).cloned().unwrap_or_else(|| "-".to_owned());
    // Where one is refused and the other is not, that is the difference, not every field that only one of them has.
    let same = |place: &str| theirs.get(place) == ours.get(place);
    let outcome = |place: &str| ["exit", "status", "errors", "stderr"].contains(&place) || (same("exit") && same("status"));
    let places = theirs.keys().chain(ours.keys().filter(|place| !theirs.contains_key(*place)));
    places
        .filter(|place| outcome(place))
        .map(|place| Difference {
            step: step.to_owned(),
            place: place.clone(),
            theirs: side(theirs, place),
            ours: side(ours, place),
        })
        .filter(|difference| difference.theirs != difference.ours)
        .collect()
}

/// One line of the list.
pub(super) struct Listed {
    patterns: [String; 4],
}

/// The lines of one topic. Every line has a reason above it.
pub(super) fn listed(text: &str, topic: &str) -> Vec<Listed> {
    let mut lines = Vec::new();
    let mut here = false;
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some(heading) = line.strip_prefix("== ") {
            let (topics, reason) = heading.split_once(": ").unwrap_or_else(|| panic!("no reason: {line}"));
            assert!(reason.len() > 10, "no reason: {line}");
            here = topics.split(", ").any(|one| one == topic);
        } else if here {
            let parts: Vec<String> = line.split(" | ").map(str::trim).map(str::to_owned).collect();
            let patterns = parts.try_into().unwrap_or_else(|_| panic!("not four parts: {line}"));
            lines.push(Listed { patterns });
        }
    }
    lines
}

impl Listed {
    pub(super) fn explains(&self, difference: &Difference) -> bool {
        let Difference { step, place, theirs, ours } = difference;
        self.patterns.iter().zip([step, place, theirs, ours]).all(|(pattern, text)| matches(pattern, text))
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.patterns.join(" | "))
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        _ if pattern == "*" => true,
        (Some(inner), Some(_)) => text.contains(inner.trim_end_matches('*')),
        (Some(end), None) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => text == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(all: &[(&str, &str)]) -> Facts {
        all.iter().map(|(place, fact)| ((*place).to_owned(), (*fact).to_owned())).collect()
    }

    #[test]
    fn every_difference_is_told_and_a_refusal_is_one_difference() {
        let theirs = facts(&[("exit", "0"), ("data.a", "text"), ("data.b", "null")]);
        let ours = facts(&[("exit", "0"), ("data.a", "number"), ("data.c", "true")]);
        let told: Vec<String> = between("s", &theirs, &ours).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["s | data.a | text | number", "s | data.b | null | -", "s | data.c | - | true"]);
        let refused = facts(&[("exit", "2"), ("status", "404")]);
        let told: Vec<String> = between("s", &theirs, &refused).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["s | exit | 0 | 2", "s | status | - | 404"]);
    }

    #[test]
    fn a_line_explains_what_it_says_in_its_topics() {
        let list = "# comment\n== a, b: for a good reason\ns* | data.x | - | *\n== c: for another reason\nt | * | * | *\n";
        assert_eq!([listed(list, "a").len(), listed(list, "c").len(), listed(list, "d").len()], [1, 1, 0]);
        let found = between("step", &facts(&[]), &facts(&[("data.x", "text"), ("data.y", "text")]));
        let explained: Vec<bool> = found.iter().map(|one| listed(list, "b")[0].explains(one)).collect();
        assert_eq!(explained, [true, false]);
    }
}
