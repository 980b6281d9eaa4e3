//! `operator rotate`: new keys for one namespace, or for all, and how far their values are wrapped by them.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use ureq::http::Method;

use super::client::Client;
use super::failure::Failure;
use super::kv::{Envelope, RawFields, rows};
use super::output::{Format, Output};
use crate::json::Json;
use crate::secret::SecretText;

/// Between two looks at a rotation.
const PAUSE: Duration = Duration::from_millis(500);
/// Signs in a progress bar.
const BAR: usize = 40;

/// Give the namespace a new wrapping key; its values are wrapped anew in the background
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom operator rotate --watch
  strongroom operator rotate --reencrypt --watch
  strongroom operator rotate --namespace acme
  strongroom operator rotate --root
  strongroom operator rotate --all --watch")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Rotate {
    /// Wait until all values are wrapped anew, and show how far that is
    #[arg(long)]
    watch: bool,
    /// Encrypt every value anew, too: for when somebody may have held the keys of values
    #[arg(long)]
    reencrypt: bool,
    /// A new key of the namespace itself, which its wrapping keys are sealed by; no value is touched
    #[arg(long, conflicts_with = "reencrypt")]
    root: bool,
    /// Do so in every namespace below this one as well
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Deserialize)]
struct State {
    term: u32,
    complete: bool,
    progress_percent: f64,
    #[serde(default)]
    rewrapped: u64,
    #[serde(default)]
    damaged: u64,
    #[serde(default)]
    tenant_key: u32,
}

/// One namespace of several.
struct Place {
    /// From the root; empty for the root itself.
    path: String,
    /// As it was seen last; none before the first look.
    state: Option<State>,
    /// Why it was not rotated, or is not looked at any more.
    problem: Option<Failure>,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

/// How far the client's namespace is.
pub(super) fn status(client: &Client, output: &Output) -> Result<(), Failure> {
    let reply = client.send(Method::GET, "sys/rotate/status", None)?;
    match output.format {
        Format::Json => output.answer(&reply.body),
        Format::Table => output.table(&rows(&reply.parse::<Envelope<RawFields<'_>>>()?.data)),
    }
}

impl Rotate {
    pub(super) fn run(&self, client: &Client, output: &Output) -> Result<(), Failure> {
        if self.all {
            return self.everywhere(client, output);
        }
        let mut here = Place::new(client.namespace().unwrap_or("").to_owned());
        self.ask(client, &here.path)?;
        if self.watch {
            watch(client, std::slice::from_mut(&mut here));
        }
        if let Some(problem) = here.problem {
            return Err(problem);
        }
        status(client, output)?;
        if here.state.is_some_and(|state| state.damaged > 0) { Err(damaged()) } else { Ok(()) }
    }

    /// In the client's namespace and all below it. Those that cannot be rotated now hold up no other, and are told at the end.
    fn everywhere(&self, client: &Client, output: &Output) -> Result<(), Failure> {
        let mut places = below(client)?;
        for place in &mut places {
            if place.problem.is_none() {
                place.problem = self.ask(client, &place.path).err();
            }
        }
        if self.watch {
            watch(client, &mut places);
        } else {
            for place in &mut places {
                place.look(client);
            }
        }
        match output.format {
            Format::Json => output.answer(told(&places).expose())?,
            Format::Table => {
                let lines: Vec<_> = places.iter().map(|place| (place.name(), SecretText::new(place.line()))).collect();
                output.table(&lines)?;
            }
        }
        let failed = places.iter().filter(|place| place.problem.is_some()).count();
        if failed > 0 {
            return Err(Failure::local(format!(
                "{failed} of {} namespaces were not rotated, or not watched to the end",
                places.len()
            )));
        }
        if places.iter().any(|place| place.state.as_ref().is_some_and(|state| state.damaged > 0)) {
            return Err(damaged());
        }
        Ok(())
    }

    fn ask(&self, client: &Client, namespace: &str) -> Result<(), Failure> {
        let path = if self.root { "sys/rotate/root" } else { "sys/rotate/keyring" };
        let body = self.reencrypt.then(|| {
            Json::object(|body| {
                body.field("reencrypt", &true);
            })
        });
        client.send_in(named(namespace), Method::POST, path, body.as_ref()).map(drop)
    }
}

fn named(namespace: &str) -> Option<&str> {
    Some(namespace).filter(|namespace| !namespace.is_empty())
}

fn damaged() -> Failure {
    Failure::local("some records do not open and were left: the older wrapping keys stay; see the server's audit log")
}

/// The client's namespace and all below it, parents first, level by level: there may be more than one answer holds.
fn below(client: &Client) -> Result<Vec<Place>, Failure> {
    let mut places = vec![Place::new(client.namespace().unwrap_or("").trim_matches('/').to_owned())];
    let mut next = 0;
    while let Some(place) = places.get_mut(next) {
        next += 1;
        let reply = match client.send_in(named(&place.path), Method::GET, "sys/namespaces?list=true", None) {
            Ok(reply) => reply,
            // It has none below it.
            Err(Failure::Server { status: 404, .. }) => continue,
            Err(problem) if next == 1 => return Err(problem),
            // Sealed or locked, say.
            Err(problem) => {
                place.problem = Some(problem);
                continue;
            }
        };
        let above = if place.path.is_empty() { String::new() } else { format!("{}/", place.path) };
        let children = reply.parse::<Envelope<Keys>>()?.data.keys;
        places.extend(children.iter().map(|name| Place::new(format!("{above}{}", name.trim_end_matches('/')))));
    }
    Ok(places)
}

impl Place {
    fn new(path: String) -> Self {
        Self { path, state: None, problem: None }
    }

    fn name(&self) -> &str {
        if self.path.is_empty() { "root" } else { &self.path }
    }

    fn is_over(&self) -> bool {
        self.problem.is_some() || self.state.as_ref().is_some_and(|state| state.complete)
    }

    fn look(&mut self, client: &Client) {
        if self.problem.is_some() {
            return;
        }
        let seen = client.send_in(named(&self.path), Method::GET, "sys/rotate/status", None);
        match seen.and_then(|reply| Ok(reply.parse::<Envelope<State>>()?.data)) {
            Ok(state) => self.state = Some(state),
            Err(problem) => self.problem = Some(problem),
        }
    }

    fn line(&self) -> String {
        match (&self.problem, &self.state) {
            (Some(problem), _) => problem.to_string(),
            (None, None) => "not looked at".to_owned(),
            (None, Some(State { term, complete, progress_percent, rewrapped, damaged, tenant_key })) => {
                let end = if *complete { "complete".to_owned() } else { format!("{progress_percent:.1}%") };
                let left = if *damaged == 0 { String::new() } else { format!(", {damaged} left: they do not open") };
                format!("wrapping key {term}, tenant key {tenant_key}; {end}, {rewrapped} records{left}")
            }
        }
    }
}

fn told(places: &[Place]) -> Json {
    Json::object(|o| {
        o.object("namespaces", |o| {
            for place in places {
                o.object(place.name(), |o| {
                    if let Some(State { term, complete, progress_percent, rewrapped, damaged, tenant_key }) = &place.state {
                        o.field("term", term).field("complete", complete).field("progress_percent", progress_percent);
                        o.field("rewrapped", rewrapped).field("damaged", damaged).field("tenant_key", tenant_key);
                    }
                    if let Some(problem) = &place.problem {
                        o.field("problem", &problem.to_string());
                    }
                });
            }
        });
    })
}

/// Asks until all are done. The bar is for people: it goes to standard error, and only when that is a terminal.
fn watch(client: &Client, places: &mut [Place]) {
    let mut shown = std::io::stderr().is_terminal().then(std::io::stderr);
    loop {
        places.iter_mut().filter(|place| !place.is_over()).for_each(|place| place.look(client));
        if let Some(terminal) = &mut shown {
            let _ = write!(terminal, "\r{}", bar(places)).and_then(|()| terminal.flush());
        }
        if places.iter().all(Place::is_over) {
            if let Some(terminal) = &mut shown {
                let _ = writeln!(terminal);
            }
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Over all of them; each counts as much as the others.
fn bar(places: &[Place]) -> String {
    let states = || places.iter().filter_map(|place| place.state.as_ref());
    let share = |place: &Place| place.state.as_ref().map_or(0.0, |state| state.progress_percent);
    let of = places.iter().filter(|place| place.problem.is_none());
    let (sum, count) = of.fold((0.0, 0_u32), |(sum, count), place| (sum + share(place), count + 1));
    let percent = if count == 0 { 100.0 } else { sum / f64::from(count) };
    let filled = (0..BAR).filter(|sign| f64::from(u32::try_from(*sign).unwrap_or(0)) * 2.5 < percent).count();
    let (done, left) = ("#".repeat(filled), ".".repeat(BAR - filled));
    let rewrapped: u64 = states().map(|state| state.rewrapped).sum();
    let what = match places {
        [place] => format!("key {}", place.state.as_ref().map_or(0, |state| state.term)),
        _ => format!("{} of {} namespaces", states().filter(|state| state.complete).count(), places.len()),
    };
    format!("{what} [{done}{left}] {percent:5.1}%  {rewrapped} records")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(progress_percent: f64, complete: bool) -> Place {
        let state = State { term: 2, complete, progress_percent, rewrapped: 7, damaged: 0, tenant_key: 1 };
        Place { state: Some(state), ..Place::new(String::new()) }
    }

    #[test]
    fn the_bar_fills_with_progress() {
        let at = |percent| bar(&[place(percent, false)]);
        assert_eq!(at(0.0), format!("key 2 [{}]   0.0%  7 records", ".".repeat(40)));
        assert_eq!(at(50.0), format!("key 2 [{}{}]  50.0%  7 records", "#".repeat(20), ".".repeat(20)));
        assert_eq!(at(100.0), format!("key 2 [{}] 100.0%  7 records", "#".repeat(40)));
    }

    #[test]
    fn one_bar_is_for_all_namespaces_that_are_rotated() {
        let shut = Place { problem: Some(Failure::local("sealed")), ..Place::new("shut".into()) };
        let unseen = Place::new("unseen".into());
        let all = [place(100.0, true), place(50.0, false), shut, unseen];
        assert_eq!(bar(&all), format!("1 of 4 namespaces [{}{}]  50.0%  14 records", "#".repeat(20), ".".repeat(20)));
        assert_eq!(bar(&[]), format!("0 of 0 namespaces [{}] 100.0%  0 records", "#".repeat(40)));
    }
}
