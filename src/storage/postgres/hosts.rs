//! A connection string that names several hosts, as libpq has it (section 34.1.1.3 of PostgreSQL's manual): one of them takes writes,
//! and which one that is may change. `target_session_attrs` may say so, and nothing else.

use sqlx::postgres::PgConnectOptions;

use super::super::StoreError;
use super::migrate;

/// Hosts that one connection string may name.
const HOSTS_MAX: usize = 16;

/// How to reach each of the hosts, in their order.
pub(super) fn parse(url: &str) -> Result<Vec<PgConnectOptions>, StoreError> {
    split(url)?.iter().map(|url| migrate::parse_url(url)).collect()
}

/// One connection string for each host.
fn split(url: &str) -> Result<Vec<String>, StoreError> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(vec![url.to_owned()]) };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
    let query = target(query)?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    let query = if query.is_empty() { query } else { format!("?{query}") };
    let urls: Vec<String> = hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}{query}")).collect();
    let named = urls.len() == 1 || hosts.split(',').all(|host| !host.is_empty());
    if named && urls.len() <= HOSTS_MAX {
        Ok(urls)
    } else {
        Err(StoreError::Refused(format!("the database URL must name from 1 to {HOSTS_MAX} hosts, separated by commas")))
    }
}

/// The parameters without `target_session_attrs`: sessions that take no writes are of no use.
fn target(query: &str) -> Result<String, StoreError> {
    let (targets, others): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|part| !part.is_empty()).partition(|part| part.starts_with("target_session_attrs="));
    if targets.iter().all(|target| target.ends_with("=read-write") || target.ends_with("=primary")) {
        Ok(others.join("&"))
    } else {
        Err(StoreError::Refused("target_session_attrs of the database URL must be read-write or primary".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_are_as_many_addresses() {
        for (url, expected) in [
            ("postgresql://u:p@one/db", &["postgresql://u:p@one/db"][..]),
            ("postgresql://u:p%40@one:5433,two/db", &["postgresql://u:p%40@one:5433/db", "postgresql://u:p%40@two/db"]),
            (
                "postgresql://one,[::1]:5433/db?sslmode=require&target_session_attrs=read-write&application_name=a",
                &[
                    "postgresql://one/db?sslmode=require&application_name=a",
                    "postgresql://[::1]:5433/db?sslmode=require&application_name=a",
                ],
            ),
            (
                "postgres://u@%2Frun%2Fa,%2Frun%2Fb/db?target_session_attrs=primary",
                &["postgres://u@%2Frun%2Fa/db", "postgres://u@%2Frun%2Fb/db"],
            ),
            ("postgresql:///db?host=/run", &["postgresql:///db?host=/run"]),
        ] {
            assert_eq!(split(url).unwrap(), expected);
            assert_eq!(parse(url).unwrap().len(), expected.len());
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let many = vec!["one"; HOSTS_MAX + 1].join(",");
        for url in [
            "postgresql://one,,two/db",
            "postgresql://one,/db",
            "postgresql://one/db?target_session_attrs=any",
            "postgresql://one/db?target_session_attrs=read-only",
            &format!("postgresql://{many}/db"),
            "nonsense",
        ] {
            assert!(matches!(parse(url), Err(StoreError::Refused(_))), "{url}");
        }
    }
}
