//! Searching: `GET sys/audit-log` with all its pages, as the command line reads them.

use std::fmt;
use std::sync::Arc;

use strongroom::answer::Answer;
use strongroom::auth::signed::Issuers;
use strongroom::outbound::Outbound;
use strongroom::request::{self, Body, Credential, Errand, Incoming, NoHeaders, Shared};
use strongroom::secret::{SecretBytes, SecretText};

use crate::deployed::Deployed;
use crate::events::{COMMON_PATH, RARE_PATH};
use crate::processor::{Stopwatch, Taken};

pub(crate) const HEAD: &str = "\
| search, warm | found | pages | seconds | CPU s | million events/s |
|---|--:|--:|--:|--:|--:|";

/// What is asked, and its query.
pub(crate) struct Question {
    what: &'static str,
    query: fn() -> String,
}

pub(crate) const QUESTIONS: &[Question] = &[
    Question { what: "one path that is hardly used, in a day", query: || format!("since=24h&path={RARE_PATH}") },
    Question {
        what: "one path of ten thousand, in a day: the first page",
        query: || format!("first&since=24h&path={COMMON_PATH}"),
    },
    Question { what: "one path of ten thousand, in a day: all of it", query: || format!("since=24h&path={COMMON_PATH}") },
    Question { what: "a text that is nowhere: every event is opened", query: || "text=nothing-has-this".to_owned() },
    Question { what: "requests that failed: every event is opened", query: || "outcome=failed".to_owned() },
];

/// A row of the table.
pub(crate) struct Found {
    what: &'static str,
    events: usize,
    pages: usize,
    log: u64,
    taken: Taken,
}

/// Reads page after page until there is no more, or only the first one.
pub(crate) async fn ask(deployed: &Deployed, question: &Question) -> Found {
    let (query, log) = ((question.query)(), deployed.events().await);
    let whole = query.strip_prefix("first&");
    let (mut found, watch) =
        (Found { what: question.what, events: 0, pages: 0, log, taken: Stopwatch::start().stop() }, Stopwatch::start());
    let mut cursor = String::new();
    loop {
        let page = page(deployed, &format!("{}&limit=1000&cursor={cursor}", whole.unwrap_or(&query))).await;
        found.pages += 1;
        found.events += page.pointer("/events").unwrap().as_array().unwrap().len();
        if whole.is_some() || page.pointer("/more").unwrap() == false {
            break;
        }
        page.pointer("/next").unwrap().as_str().unwrap().clone_into(&mut cursor);
    }
    found.taken = watch.stop();
    found
}

async fn page(deployed: &Deployed, query: &str) -> serde_json::Value {
    let shared = Arc::new(Shared::new(Issuers::new(Outbound::new(&[], true))));
    let incoming = Incoming {
        id: strongroom::random::uuid().into(),
        method: "GET".to_owned(),
        path: "sys/audit-log".to_owned(),
        query: query.to_owned(),
        namespace: None,
        credential: Credential::Token(SecretText::new(deployed.root_token.clone())),
        wrap_ttl: None,
        receipt: false,
        passcodes: Vec::new(),
        if_none_match: None,
        content_type: None,
        headers: Box::new(NoHeaders),
        body: Body::Whole(SecretBytes::new(Vec::new())),
        remote: ([127, 0, 0, 1], 40_000).into(),
        certificate: None,
        spans: None,
    };
    let outcome = Box::pin(request::handle(deployed.committer(), &shared, incoming)).await;
    let Some(Errand::AuditLog(reading)) = outcome.errand else { panic!("a search was refused") };
    match Box::pin(reading.answer(deployed.committer().tenants())).await {
        Ok(Answer::Data(data)) => serde_json::from_slice(data.data.unwrap().expose()).unwrap(),
        _ => panic!("a search was refused"),
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.taken.clock.as_secs_f64();
        write!(
            f,
            "| {} | {} | {} | {seconds:.3} | {:.3} | {:.2} |",
            self.what,
            self.events,
            self.pages,
            self.taken.processor.as_secs_f64(),
            self.log as f64 / seconds / 1e6,
        )
    }
}
