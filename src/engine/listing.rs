//! Names of what a mount keeps: one directory, or everything below one. Engines that keep a tree answer lists with this.

use std::sync::Arc;

use super::table::Call;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::fields::Query;
use crate::json::Json;
use crate::record::Kind;

/// The most names in one answer.
pub const NAMES_MAX: usize = 100_000;

/// Which part of a listing is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Only names that sort bytewise after this one; it need not exist.
    pub after: String,
    /// At most this many; `None` for all.
    pub limit: Option<usize>,
}

impl Page {
    /// Reads `after` and `limit`; a limit of 0 or less is none.
    pub fn parse(query: &Query) -> Result<Self, Refusal> {
        let limit = query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        Ok(Self { after: query.value("after").unwrap_or("").to_owned(), limit })
    }

    /// Collects until the page is full; more than `NAMES_MAX` is refused, and never cut short in silence.
    fn add(&self, names: &mut Vec<String>, name: String) -> Result<Fill, Refusal> {
        if self.limit.is_some_and(|limit| names.len() >= limit) {
            return Ok(Fill::Full);
        }
        if names.len() >= NAMES_MAX {
            return Err(Refusal::Invalid(format!(
                "the list has more than {NAMES_MAX} names: ask for it in parts, with the query parameters \"limit\" (at most \
                 {NAMES_MAX}) and \"after\" (the last name of the part before)"
            )));
        }
        names.push(name);
        Ok(Fill::Open)
    }
}

/// A part of a flat list.
pub struct Range {
    /// Only names that sort bytewise after this one.
    pub after: Option<String>,
    /// At most this many; `None` for all.
    pub limit: Option<usize>,
}

impl Range {
    /// Reads `after` and `limit`; 0 and -1 are no limit.
    pub fn parse(call: &Call<'_>) -> Result<Self, Refusal> {
        let limit = match call.query.value("limit") {
            None | Some("" | "-1" | "0") => None,
            Some(text) => Some(text.parse().map_err(|_| Refusal::invalid("limit: expected a whole number"))?),
        };
        Ok(Self { after: call.query.value("after").map(str::to_owned), limit })
    }

    /// The part of `names`, which are sorted. Refused when it is more than `most`.
    pub fn of<'n>(&self, names: &'n [Box<str>], most: usize) -> Result<&'n [Box<str>], Refusal> {
        let start = self.after.as_ref().map_or(0, |after| names.partition_point(|name| **name <= **after));
        let rest = names.get(start..).unwrap_or_default();
        let part = self.limit.map_or(rest, |limit| rest.get(..limit).unwrap_or(rest));
        if part.len() > most {
            return Err(Refusal::invalid(format!("more than {most} names: ask with after and limit")));
        }
        Ok(part)
    }
}

#[derive(PartialEq, Eq)]
enum Fill {
    Open,
    Full,
}

/// The directory that a client means, with or without a slash at the end; empty for the root.
pub fn directory(path: &str) -> String {
    if path.is_empty() || path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}

/// Everything of one kind that a mount keeps, by path.
#[derive(Clone, Copy)]
pub struct Tree<'a> {
    /// The mount.
    pub place: &'a Place,
    /// A kind whose records are listed as a tree.
    pub kind: Kind,
}

impl Tree<'_> {
    /// `{"keys": [..]}`; nothing there is `NotFound`.
    pub async fn list(self, directory: &str, page: &Page, txn: &mut Txn) -> Result<Answer, Refusal> {
        let found = self.names(directory, txn).await?;
        let start = found.partition_point(|name| **name <= *page.after);
        let mut names = Vec::new();
        for name in found.iter().skip(start) {
            if page.add(&mut names, name.to_string())? == Fill::Full {
                break;
            }
        }
        Answer::keys(&names)
    }

    /// `{"keys": [..]}` with paths below `directory`, sorted bytewise; nothing there is `{}`.
    pub async fn scan(self, directory: &str, page: &Page, txn: &mut Txn) -> Result<Answer, Refusal> {
        let paths = self.below(directory, page, txn).await?;
        if paths.is_empty() {
            return Ok(Answer::data(Json::object(|_| {})));
        }
        Answer::keys(&paths)
    }

    /// The first `limit` paths below `directory`, as `scan` has them.
    pub async fn first(self, directory: &str, limit: usize, txn: &mut Txn) -> Result<Vec<String>, Refusal> {
        self.below(directory, &Page { after: String::new(), limit: Some(limit) }, txn).await
    }

    async fn below(self, directory: &str, page: &Page, txn: &mut Txn) -> Result<Vec<String>, Refusal> {
        let mut paths = Vec::new();
        // Depth first, the next directory on top: names that end in a slash sort as the paths below them do.
        let mut open: Vec<String> = vec![String::new()];
        while let Some(next) = open.pop() {
            if !next.is_empty() && !next.ends_with('/') {
                if page.add(&mut paths, next)? == Fill::Full {
                    break;
                }
                continue;
            }
            let names = self.names(&format!("{directory}{next}"), txn).await?;
            open.extend(names.iter().rev().map(|name| format!("{next}{name}")).filter(|path| may_follow(path, &page.after)));
        }
        Ok(paths)
    }

    async fn names(self, directory: &str, txn: &mut Txn) -> Result<Arc<[Box<str>]>, Refusal> {
        txn.names(&self.place.tenant, self.kind, self.place.mount.id, directory).await
    }
}

/// Whether `path`, or for a directory anything below it, can sort after `after`.
fn may_follow(path: &str, after: &str) -> bool {
    path > after || (path.ends_with('/') && after.starts_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_at_its_limit_and_a_whole_list_at_the_bound() {
        let mut names = Vec::new();
        let page = Page { after: String::new(), limit: Some(2) };
        assert!(page.add(&mut names, "a".to_owned()).unwrap() == Fill::Open);
        assert!(page.add(&mut names, "b".to_owned()).unwrap() == Fill::Open);
        assert!(page.add(&mut names, "c".to_owned()).unwrap() == Fill::Full);
        assert_eq!(names, ["a", "b"]);

        let mut names = vec![String::new(); NAMES_MAX - 1];
        assert!(Page::default().add(&mut names, "last".to_owned()).is_ok());
        let Err(Refusal::Invalid(text)) = Page::default().add(&mut names, "past".to_owned()) else { panic!("accepted") };
        assert!(text.contains("\"after\"") && text.contains("\"limit\""), "{text}");
        let exact = Page { after: String::new(), limit: Some(NAMES_MAX) };
        assert!(exact.add(&mut names, "past".to_owned()).unwrap() == Fill::Full);
    }

    #[test]
    fn directories_are_entered_only_where_something_can_follow() {
        assert!(may_follow("b", "a"));
        assert!(!may_follow("a", "a"));
        assert!(may_follow("a/", "a/x"));
        assert!(may_follow("b/", "a/x"));
        assert!(!may_follow("a/", "b"));
        assert!(!may_follow("a/", "a0"));
    }
}
