//! `sys/quotas`: rate limits of the deployment, of namespaces, mounts and paths. Kept in the root tenant, and changed there only.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::engine::directory;
use crate::engine::table::{Call, Field, Row, Verb};
use crate::json::Json;
use crate::path::Path;
use crate::quota::{GroupBy, Quotas, RULES_MAX, Rule, Scope, USUALLY_EXEMPT};

/// The interval of a rule that names none.
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest name of a rule, in bytes.
const NAME_BYTES_MAX: usize = 512;
/// The longest interval, and the longest time that anybody is blocked for.
const INTERVAL_MAX: Duration = Duration::from_hours(24 * 366);
/// The most paths that no rule holds for.
const EXEMPT_MAX: usize = 256;

/// One operation.
#[derive(Debug, PartialEq)]
pub enum Operation {
    /// How rules are applied.
    Config,
    /// In another way.
    Configure(Config),
    /// The names of all rules.
    List,
    /// One.
    Read(String),
    /// Another one, or one more.
    Write(String, Box<Wanted>),
    /// One less.
    Delete(String),
}

/// How rules are to be applied.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    exempt: Option<Vec<String>>,
    audited: bool,
    headers: bool,
}

/// A rule as it was written.
#[derive(Debug, PartialEq)]
pub struct Wanted {
    path: Path,
    /// All paths that begin so are meant.
    prefix: bool,
    rate: f64,
    interval: Duration,
    block_interval: Duration,
    inheritable: Option<bool>,
    group_by: GroupBy,
}

const RULE: &[Field] = &[
    Field {
        name: "path",
        kind: "string",
        help: "From the root: a namespace, a mount, or a path, `*` at its end for all that begin so; empty for everything.",
    },
    Field { name: "rate", kind: "number", help: "Requests in an interval, more than 0." },
    Field { name: "interval", kind: "duration", help: "What the rate is for; 1s if not given." },
    Field {
        name: "block_interval",
        kind: "duration",
        help: "How long whoever went past the rate is refused; 0 for the rest of the interval.",
    },
    Field {
        name: "inheritable",
        kind: "boolean",
        help: "Of a namespace: holds for those below it that have no rule of their own.",
    },
    Field { name: "group_by", kind: "string", help: "`ip`: each address has the rate to itself; `none`: all have it together." },
    Field { name: "role", kind: "string", help: "Not supported: name the path of the logins." },
];

const CONFIG: &[Field] = &[
    Field {
        name: "rate_limit_exempt_paths",
        kind: "array",
        help: "Paths in a namespace, `*` at the end of one for all that begin so.",
    },
    Field {
        name: "enable_rate_limit_audit_logging",
        kind: "boolean",
        help: "Log every refused request, not one of an interval.",
    },
    Field { name: "enable_rate_limit_response_headers", kind: "boolean", help: "Say in answers how much is left." },
];

const ONE: &str = "quotas/rate-limit/:name";

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Read, "quotas/config", &[], "Shows how rate limits are applied.", |_| Ok(Operation::Config)),
    Row::by_verb(Verb::Write, "quotas/config", CONFIG, "Changes how rate limits are applied.", configure),
    Row::by_verb(Verb::List, "quotas/rate-limit", &[], "Lists the names of all rate limits.", |_| Ok(Operation::List)),
    Row::by_verb(Verb::Read, ONE, &[], "Shows a rate limit.", |call| Ok(Operation::Read(name(call)))),
    Row::by_verb(Verb::Write, ONE, RULE, "Makes or changes a rate limit.", write),
    Row::by_verb(Verb::Delete, ONE, &[], "Removes a rate limit.", |call| Ok(Operation::Delete(name(call)))),
];

fn name(call: &Call<'_>) -> String {
    call.captures.get(0).to_owned()
}

fn configure(call: &Call<'_>) -> Result<Operation, Refusal> {
    let exempt = call.fields.list("rate_limit_exempt_paths")?;
    if exempt.as_ref().is_some_and(|exempt| exempt.len() > EXEMPT_MAX) {
        return Err(Refusal::invalid(format!("at most {EXEMPT_MAX} paths can be exempt")));
    }
    Ok(Operation::Configure(Config {
        exempt,
        audited: call.fields.boolean("enable_rate_limit_audit_logging")?.unwrap_or(false),
        headers: call.fields.boolean("enable_rate_limit_response_headers")?.unwrap_or(false),
    }))
}

fn write(call: &Call<'_>) -> Result<Operation, Refusal> {
    let fields = call.fields;
    let name = name(call);
    if name.len() > NAME_BYTES_MAX {
        return Err(Refusal::invalid(format!("a name is at most {NAME_BYTES_MAX} bytes long")));
    }
    let rate = fields.number("rate")?.filter(|rate| rate.is_finite() && *rate > 0.0);
    let rate = rate.ok_or_else(|| Refusal::invalid("'rate' is invalid"))?;
    if fields.text("role")?.is_some_and(|role| !role.is_empty()) {
        return Err(Refusal::invalid(
            "role: limits by role are not supported; name the path of the logins, such as auth/approle/login",
        ));
    }
    let time = |name: &str| match fields.duration(name)? {
        Some(time) if time > INTERVAL_MAX => Err(Refusal::invalid(format!("{name}: at most 366 days"))),
        time => Ok(time.unwrap_or_default()),
    };
    let interval = Some(time("interval")?).filter(|interval| !interval.is_zero()).unwrap_or(INTERVAL);
    let group_by = match fields.text("group_by")?.as_deref() {
        None | Some("" | "ip") => GroupBy::Ip,
        Some("none") => GroupBy::None,
        Some(_) => return Err(Refusal::invalid("group_by: must be \"ip\" or \"none\"")),
    };
    let path = fields.text("path")?.unwrap_or_default();
    let (path, prefix) = path.strip_suffix('*').map_or((path.as_str(), false), |path| (path, true));
    let path = Path::new(path.trim_start_matches('/')).map_err(|error| Refusal::invalid(format!("path: {error}")))?;
    let (block_interval, inheritable) = (time("block_interval")?, fields.boolean("inheritable")?);
    Ok(Operation::Write(name, Box::new(Wanted { path, prefix, rate, interval, block_interval, inheritable, group_by })))
}

/// The rules in force.
pub async fn in_force(txn: &mut Txn) -> Result<Option<Arc<Quotas>>, Refusal> {
    let root = txn.tenants().root();
    Ok(txn.read::<Quotas>(&root, &Quotas::address()).await?.map(|found| found.value))
}

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let root = &place.tenant;
    super::in_root(place)?;
    let quotas = in_force(txn).await?.unwrap_or_default();
    let changed = match operation {
        Operation::Config => return Ok(Answer::data(shown_config(&quotas))),
        Operation::List if quotas.rules.is_empty() => return Err(Refusal::NotFound),
        Operation::List => return Answer::keys(&quotas.rules.keys().collect::<Vec<_>>()),
        Operation::Read(name) => {
            let rule = quotas.rules.get(&name).ok_or(Refusal::NotFound)?;
            return Ok(Answer::data(shown(&name, rule)));
        }
        Operation::Configure(Config { exempt, audited, headers }) => {
            let mut changed = quotas.with(quotas.rules.clone());
            (changed.exempt, changed.audited, changed.headers) = (exempt, audited, headers);
            changed
        }
        Operation::Write(name, wanted) => with_rule(&quotas, name, wanted.found(root, txn).await?)?,
        Operation::Delete(name) => {
            let mut rules = quotas.rules.clone();
            if rules.remove(&name).is_none() {
                return Ok(Answer::Empty);
            }
            quotas.with(rules)
        }
    };
    txn.put(root, &Quotas::address(), &changed, None).await?;
    Ok(Answer::Empty)
}

fn with_rule(quotas: &Quotas, name: String, rule: Rule) -> Result<Quotas, Refusal> {
    if let Some((like, _)) = quotas.rules.iter().find(|(other, there)| **other != name && there.is_like(&rule)) {
        return Err(Refusal::invalid(format!("quota rule with similar properties exists under the name {like:?}")));
    }
    let mut rules = quotas.rules.clone();
    rules.insert(name, rule);
    if rules.len() > RULES_MAX {
        return Err(Refusal::invalid(format!("there can be at most {RULES_MAX} rate limits")));
    }
    Ok(quotas.with(rules))
}

impl Wanted {
    /// The rule, when there is what its path names.
    async fn found(&self, root: &Arc<Tenant>, txn: &mut Txn) -> Result<Rule, Refusal> {
        let mut tenant = Arc::clone(root);
        let (mut namespace, mut rest) = (String::new(), self.path.as_str());
        while let Some(name) = rest.split('/').next().filter(|name| !name.is_empty()) {
            let Some((child, _)) = txn.child(&tenant, name).await? else { break };
            tenant = child;
            namespace = format!("{namespace}{name}/");
            rest = rest.get(name.len()..).unwrap_or_default().trim_start_matches('/');
        }
        let (path, scope) = if rest.is_empty() && !self.prefix {
            (String::new(), Scope::Namespace)
        } else {
            let mounted = directory::answering(&tenant, rest, txn).await?;
            let mounted = mounted.ok_or_else(|| Refusal::invalid(format!("invalid mount path {:?}", self.path.as_str())))?;
            match mounted.path.trim_end_matches('/') == rest.trim_end_matches('/') {
                true if !self.prefix => (mounted.path, Scope::Mount),
                _ if self.prefix => (rest.to_owned(), Scope::Prefix),
                _ => (rest.to_owned(), Scope::Path),
            }
        };
        let mut rule = Rule::new((namespace, path, scope), self.rate, self.interval, self.block_interval);
        rule.inheritable = self.inheritable.unwrap_or(rule.inheritable);
        rule.group_by = self.group_by;
        if rule.inheritable && scope != Scope::Namespace {
            return Err(Refusal::invalid("inheritable: only a namespace's rate limit can be"));
        }
        Ok(rule)
    }
}

fn shown_config(quotas: &Quotas) -> Json {
    Json::object(|data| {
        data.field("enable_rate_limit_audit_logging", &quotas.audited);
        data.field("enable_rate_limit_response_headers", &quotas.headers);
        match &quotas.exempt {
            Some(exempt) => data.strings("rate_limit_exempt_paths", exempt),
            None => data.strings("rate_limit_exempt_paths", &USUALLY_EXEMPT),
        };
    })
}

fn shown(name: &str, rule: &Rule) -> Json {
    let star = if rule.scope == Scope::Prefix { "*" } else { "" };
    Json::object(|data| {
        data.field("block_interval", &rule.block_interval().as_secs()).field("inheritable", &rule.inheritable);
        data.field("interval", &rule.interval().as_secs()).field("name", name);
        data.field("path", &format!("{}{}{star}", rule.namespace, rule.path)).field("role", "");
        // As others write it: a whole number has no fraction.
        data.raw("rate", rule.rate.to_string().as_bytes());
        data.field("type", "rate-limit");
        if rule.group_by == GroupBy::None {
            data.field("group_by", "none");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_rate_limits_and_no_more() {
        let rule = |number: usize| {
            let place = (String::new(), format!("secret/{number}"), Scope::Path);
            (format!("r{number}"), Rule::new(place, 1.0, Duration::from_secs(1), Duration::ZERO))
        };
        let almost = Quotas::default().with((1..RULES_MAX).map(rule).collect());
        let (name, last) = rule(RULES_MAX);
        let all = with_rule(&almost, name, last).unwrap();
        assert_eq!(all.rules.len(), 4_096);
        let (name, next) = rule(RULES_MAX + 1);
        assert!(matches!(with_rule(&all, name, next.clone()), Err(Refusal::Invalid(_))));
        // One that is there can be changed.
        assert_eq!(with_rule(&all, "r7".to_owned(), next).unwrap().rules.len(), 4_096);
    }
}
