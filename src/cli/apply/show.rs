//! The difference in words.

use serde::Serialize;

use super::difference::Change;
use super::plan::{Action, Plan, Step};
use crate::json::Json;

impl Step {
    /// `acme/team mount "secret"`
    pub(super) fn what(&self) -> String {
        let space = if self.space.is_empty() { String::new() } else { format!("{} ", self.space) };
        format!("{space}{} {:?}", self.kind.word(), self.name)
    }

    fn lines(&self) -> Vec<String> {
        let what = self.what();
        match self.action {
            Action::Remove => vec![format!("- {what}")],
            Action::Create => {
                let field = |change: &Change| format!("    {} = {}", change.field, text(change.new.as_deref()));
                std::iter::once(format!("+ {what}")).chain(self.changes.iter().map(field)).collect()
            }
            Action::Change => {
                let line = |change: &Change| {
                    format!("~ {what} {}: {} -> {}", change.field, text(change.old.as_deref()), text(change.new.as_deref()))
                };
                self.changes.iter().map(line).collect()
            }
        }
    }
}

fn text(value: Option<&str>) -> &str {
    value.unwrap_or("(none)")
}

/// One or more lines for each step.
pub(super) fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().flat_map(Step::lines).collect()
}

/// What is printed before anything is done.
pub(super) fn table(plan: &Plan, dry_run: bool) -> Vec<String> {
    let mut lines = steps(plan);
    lines.extend(plan.kept.iter().map(|what| format!("  {what} is not described and stays (--prune=destructive removes it)")));
    if plan.steps.is_empty() {
        lines.push("Nothing to do.".to_owned());
    } else if dry_run {
        lines.push(format!("To be done: {}. Nothing was written.", count(plan)));
    }
    lines
}

/// `2 created, 1 changed, 0 removed`
pub(super) fn count(plan: &Plan) -> String {
    let count = |action| plan.steps.iter().filter(|step| step.action == action).count();
    let [created, changed, removed] = [Action::Create, Action::Change, Action::Remove].map(count);
    format!("{created} created, {changed} changed, {removed} removed")
}

/// What was done and what was not, when the step at `at` failed.
pub(super) fn stopped(plan: &Plan, at: usize) -> String {
    let (done, rest) = plan.steps.split_at_checked(at).unwrap_or_default();
    let list = |steps: &[Step]| steps.iter().fold(String::new(), |list, step| list + "\n  " + &step.what());
    let place = rest.first().and_then(|step| step.place.as_ref()).map_or_else(String::new, |place| format!(" ({place})"));
    let first = rest.first().map(Step::what).unwrap_or_default();
    let done = if done.is_empty() { "\nNothing was done.".to_owned() } else { format!("\nDone, and stays:{}", list(done)) };
    format!("\nStopped at {first}{place}.{done}\nNot done:{}", list(rest))
}

#[derive(Serialize)]
struct Document<'a> {
    changes: Vec<Shown<'a>>,
    kept: &'a [String],
    dry_run: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    action: Action,
    namespace: &'a str,
    kind: &'static str,
    name: &'a str,
    fields: &'a [Change],
}

/// One document for programs.
pub(super) fn json(plan: &Plan, dry_run: bool) -> Json {
    let changes = plan.steps.iter().map(|step| Shown {
        action: step.action,
        namespace: &step.space,
        kind: step.kind.word(),
        name: &step.name,
        fields: &step.changes,
    });
    Json::value(&Document { changes: changes.collect(), kept: &plan.kept, dry_run })
}
