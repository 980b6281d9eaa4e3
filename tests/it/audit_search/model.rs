//! A naive model of searching: all events are fetched, and looked at one by one.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::{all, indexes};
use crate::support::client::Client;

/// Conditions that a search may have, each with what it means for an event.
type Condition = (&'static str, String, fn(&Value, &str) -> bool);

fn text<'v>(event: &'v Value, name: &str) -> &'v str {
    event["event"][name].as_str().unwrap_or("")
}

fn conditions(accessor: &str, request: &str, logged: &[String]) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = Vec::new();
    for path in ["secret/data/a/b", "sys/audit-log", "none"] {
        conditions.push(("path", path.to_owned(), |event, value| text(event, "path") == value));
    }
    for prefix in ["secret/", "secret/data/a", "sys/", "s", "auth/token/create"] {
        conditions.push(("prefix", prefix.to_owned(), |event, value| text(event, "path").starts_with(value)));
    }
    for caller in [accessor, "token-weak", "root", "127.0.0.1", "10.0.0.1"] {
        conditions.push(("caller", caller.to_owned(), |event, value| {
            let caller = &event["event"]["caller"];
            let is = |name: &str| caller[name].as_str() == Some(value);
            is("accessor") || is("display_name") || text(event, "remote").starts_with(&format!("{value}:"))
        }));
    }
    for operation in ["read", "write", "init"] {
        conditions.push(("operation", operation.to_owned(), |event, value| text(event, "operation") == value));
    }
    conditions.push(("outcome", "done".into(), |event, _| event["event"]["status"].as_u64() < Some(400)));
    conditions.push(("outcome", "refused".into(), |event, _| {
        event["event"]["status"].as_u64().is_some_and(|status| (400..500).contains(&status))
    }));
    conditions.push(("outcome", "403".into(), |event, _| event["event"]["status"].as_u64() == Some(403)));
    conditions.push(("error", "denied".into(), |event, value| text(event, "error") == value));
    conditions.push(("request", request.to_owned(), |event, value| text(event, "request") == value));
    conditions.push(("text", "WEAK".into(), |event, _| event["event"].to_string().to_lowercase().contains("weak")));
    for time in logged {
        conditions.push(("since", time.clone(), |event, value| instant(event["logged"].as_str().unwrap()) >= instant(value)));
        conditions.push(("until", time.clone(), |event, value| instant(event["logged"].as_str().unwrap()) <= instant(value)));
    }
    conditions
}

fn instant(text: &str) -> i64 {
    strongroom::time::Timestamp::parse_rfc3339(text).unwrap().0
}

/// Searches by random conditions, and compares with the model, up to a fixed moment.
pub(super) fn compare(auditor: &Client, accessor: &str, request: &str) {
    let whole = all(auditor, "");
    let end = whole[0]["logged"].as_str().unwrap().to_owned();
    let logged: Vec<String> = whole.iter().step_by(3).map(|event| event["logged"].as_str().unwrap().to_owned()).collect();
    let conditions = conditions(accessor, request, &logged);
    let some = proptest::sample::subsequence((0..conditions.len()).collect::<Vec<_>>(), 0..4);
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let cases = (some, 1..20_usize, any::<bool>());
    let run = runner.run(&cases, |(chosen, limit, ascending)| {
        let mut chosen: Vec<&Condition> = chosen.into_iter().map(|at| &conditions[at]).collect();
        // A name counts once.
        let mut names = std::collections::HashSet::new();
        chosen.retain(|condition| names.insert(condition.0));
        if chosen.iter().all(|condition| condition.0 != "until") {
            chosen.push(conditions.iter().find(|condition| condition.0 == "until" && condition.1 == end).unwrap());
        }
        let since = chosen.iter().find(|condition| condition.0 == "since").map_or(i64::MIN, |since| instant(&since.1));
        let until = chosen.iter().find(|condition| condition.0 == "until").map_or(i64::MAX, |until| instant(&until.1));
        if since > until {
            return Ok(());
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value, _) in &chosen {
            query.append_pair(name, value);
        }
        let order = if ascending { "asc" } else { "desc" };
        let query = format!("{}&limit={limit}&order={order}", query.finish());
        let found = indexes(&all(auditor, &query));
        let matches = |event: &&Value| chosen.iter().all(|(_, value, matches)| matches(event, value));
        let expected: Vec<Value> = whole.iter().filter(matches).cloned().collect();
        let mut expected = indexes(&expected);
        if ascending {
            expected.reverse();
        }
        prop_assert_eq!(found, expected, "{}", query);
        Ok(())
    });
    run.unwrap();
}
