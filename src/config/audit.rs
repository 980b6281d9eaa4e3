//! The `audit` stanzas: where the audit log is copied to, in the form that OpenBao has for declared audit devices.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{ConfigError, Setting};
use crate::json::Json;
use crate::secret::SecretText;
use crate::stanza::Stanza;

/// The most sinks.
const SINKS_MAX: usize = 16;
/// The longest name.
const NAME_BYTES_MAX: usize = 64;

/// One `audit` stanza.
pub struct AuditSink {
    /// Its own name.
    pub name: String,
    /// `file`, `syslog` or `http`.
    pub kind: &'static str,
    /// What the operator wrote about it.
    pub description: String,
    /// Accessors of tokens are hashed; in clear when false.
    pub hmac_accessor: bool,
    /// Where it is written down how far the sink has come.
    pub position_file: PathBuf,
    /// Where entries go.
    pub to: SinkTarget,
}

/// Where entries go.
pub enum SinkTarget {
    /// The standard output of the server.
    Stdout,
    /// A file.
    File(FileSink),
    /// A system log that takes RFC 5424.
    Syslog(SyslogSink),
    /// A POST for each batch.
    Http(HttpSink),
}

/// A file, rotated by the server itself if a bound is set.
#[derive(Clone, Debug)]
pub struct FileSink {
    /// The file.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// It is put aside before it grows past this.
    pub rotate_bytes: Option<u64>,
    /// It is put aside when it is older.
    pub rotate_after: Option<Duration>,
    /// How many that were put aside are kept; all of them without a word.
    pub rotate_files: Option<usize>,
}

/// A system log.
#[derive(Clone, Debug)]
pub struct SyslogSink {
    /// Where it listens.
    pub address: SyslogAddress,
    /// The facility, times eight.
    pub facility: u8,
    /// The name of the program in messages.
    pub tag: String,
}

/// Where a system log listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A socket on this machine, for datagrams.
    Unix(PathBuf),
    /// RFC 5426.
    Udp(SocketAddr),
    /// RFC 6587, with counted octets.
    Tcp(SocketAddr),
}

/// An HTTP server.
pub struct HttpSink {
    /// The URL.
    pub uri: String,
    /// The content of the header `Authorization`.
    pub authorization: Option<SecretText>,
    /// Authorities of its certificate, PEM, in place of those of the operating system.
    pub ca_file: Option<PathBuf>,
}

/// Names and numbers of RFC 5424 section 6.2.1.
const FACILITIES: [(&str, u8); 13] = [
    ("USER", 1),
    ("DAEMON", 3),
    ("AUTH", 4),
    ("SYSLOG", 5),
    ("AUTHPRIV", 10),
    ("LOCAL0", 16),
    ("LOCAL1", 17),
    ("LOCAL2", 18),
    ("LOCAL3", 19),
    ("LOCAL4", 20),
    ("LOCAL5", 21),
    ("LOCAL6", 22),
    ("LOCAL7", 23),
];

/// All sinks, in the order of the files.
pub(super) fn sinks(top: &mut Stanza) -> Result<Vec<AuditSink>, ConfigError> {
    let mut sinks: Vec<AuditSink> = Vec::new();
    for (labels, mut stanza) in top.stanzas("audit", 1, true)? {
        let setting = top.setting("audit", &stanza.place);
        let mut labels = labels.into_iter();
        let kind = labels.next().unwrap_or_default();
        let name = labels.next().unwrap_or_else(|| kind.clone()).trim_end_matches('/').to_owned();
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !plain {
            return Err(setting.wrong(format!("needs a name of at most {NAME_BYTES_MAX} letters, digits, hyphens and dots")));
        }
        let sink = sink(&kind, name, &mut stanza, &setting)?;
        stanza.finish()?;
        if sinks.iter().any(|known| known.name == sink.name) {
            return Err(setting.wrong("another one has the same name: give each a name, as in audit \"file\" \"siem\""));
        }
        if sinks.iter().any(|known| known.position_file == sink.position_file) {
            return Err(setting.wrong("another one has the same position_file: each needs its own"));
        }
        sinks.push(sink);
        if sinks.len() > SINKS_MAX {
            return Err(setting.wrong(format!("there are more than {SINKS_MAX} of them")));
        }
    }
    Ok(sinks)
}

fn sink(kind: &str, name: String, stanza: &mut Stanza, setting: &Setting) -> Result<AuditSink, ConfigError> {
    let description = stanza.text("description")?.map(|(text, _)| text).unwrap_or_default();
    if let Some((true, local)) = stanza.boolean("local")? {
        return Err(local.wrong("has no meaning here: every server copies the whole log"));
    }
    let missing = || setting.wrong("needs options { .. }");
    let mut options = stanza.stanza("options")?.ok_or_else(missing)?;
    if let Some((true, raw)) = options.boolean("log_raw")? {
        return Err(raw.wrong("is not offered: the log holds no values"));
    }
    let hmac_accessor = options.boolean("hmac_accessor")?.is_none_or(|(value, _)| value);
    let position = options.file("position_file")?.map(|file| file.path);
    let (kind, to) = match kind {
        "file" => ("file", file(&mut options, setting)?),
        "syslog" => ("syslog", SinkTarget::Syslog(syslog(&mut options)?)),
        "http" => ("http", SinkTarget::Http(http(&mut options, setting)?)),
        _ => return Err(setting.wrong("only \"file\", \"syslog\" and \"http\" are offered")),
    };
    options.finish()?;
    let beside = match &to {
        SinkTarget::File(file) => {
            let mut path = file.path.clone().into_os_string();
            path.push(".position");
            Some(PathBuf::from(path))
        }
        _ => None,
    };
    let position_file = position
        .or(beside)
        .ok_or_else(|| setting.wrong("options need position_file: where it is written down how far the sink has come"))?;
    Ok(AuditSink { name, kind, description, hmac_accessor, position_file, to })
}

fn file(options: &mut Stanza, setting: &Setting) -> Result<SinkTarget, ConfigError> {
    let path = options.file("file_path")?.or(options.file("path")?).map(|file| file.path);
    let path = path.ok_or_else(|| setting.wrong("options need file_path: a file, or \"stdout\""))?;
    let mode = match options.text("mode")? {
        None => 0o600,
        Some((mode, setting)) => {
            let mode = u32::from_str_radix(&mode, 8).ok().filter(|mode| (0o200..=0o777).contains(mode));
            mode.ok_or_else(|| setting.wrong("must be the file's permissions, like \"0600\""))?
        }
    };
    let rotate_bytes = match options.integer("rotate_bytes")? {
        Some((bytes, setting)) if bytes < 1 << 12 => return Err(setting.wrong("must be at least 4096 bytes")),
        other => other.map(|(bytes, _)| bytes),
    };
    let rotate_after = match options.duration("rotate_duration")? {
        Some((after, setting)) if after < Duration::from_secs(1) => return Err(setting.wrong("must be at least 1s")),
        other => other.map(|(after, _)| after),
    };
    let rotate_files = match options.integer("rotate_max_files")? {
        None => None,
        Some((count, setting)) => {
            let count = usize::try_from(count).ok().filter(|count| (1..=100_000).contains(count));
            Some(count.ok_or_else(|| setting.wrong("must be from 1 to 100000 files"))?)
        }
    };
    if path.as_os_str() == "stdout" {
        return Ok(SinkTarget::Stdout);
    }
    if !path.is_absolute() {
        return Err(setting.wrong("options file_path must be an absolute path, or \"stdout\""));
    }
    Ok(SinkTarget::File(FileSink { path, mode, rotate_bytes, rotate_after, rotate_files }))
}

fn syslog(options: &mut Stanza) -> Result<SyslogSink, ConfigError> {
    let address = match options.text("address")? {
        None => SyslogAddress::Unix(PathBuf::from("/dev/log")),
        Some((text, setting)) => {
            let wrong = || setting.wrong("must be unix:///dev/log, or udp:// or tcp:// with an IP address and a port");
            let socket = |text: &str| text.parse().map_err(|_| wrong());
            match text.split_once("://") {
                Some(("unix", path)) if path.starts_with('/') => SyslogAddress::Unix(PathBuf::from(path)),
                Some(("udp", address)) => SyslogAddress::Udp(socket(address)?),
                Some(("tcp", address)) => SyslogAddress::Tcp(socket(address)?),
                _ => return Err(wrong()),
            }
        }
    };
    let facility = options.word("facility", &FACILITIES)?.unwrap_or(4);
    let tag = match options.text("tag")? {
        None => env!("CARGO_PKG_NAME").to_owned(),
        // APP-NAME of RFC 5424 section 6.
        Some((tag, setting)) if tag.is_empty() || tag.len() > 48 || !tag.bytes().all(|byte| byte.is_ascii_graphic()) => {
            return Err(setting.wrong("must be at most 48 visible characters"));
        }
        Some((tag, _)) => tag,
    };
    Ok(SyslogSink { address, facility: facility * 8, tag })
}

fn http(options: &mut Stanza, setting: &Setting) -> Result<HttpSink, ConfigError> {
    let uri = options.text("uri")?.or(options.text("url")?).map(|(uri, _)| uri);
    let uri = uri.ok_or_else(|| setting.wrong("options need uri: where batches are sent"))?;
    let authorization = options.secret("authorization")?;
    if let Some((text, setting)) = &authorization
        && !text.expose().bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    {
        return Err(setting.wrong("must be the content of the header Authorization"));
    }
    let ca_file = options.file("ca_file")?.map(|file| file.path);
    Ok(HttpSink { uri, authorization: authorization.map(|(text, _)| text), ca_file })
}

impl AuditSink {
    /// As `sys/audit` shows it: without what may be secret.
    fn shown(&self) -> Json {
        Json::object(|out| {
            out.field("type", self.kind).field("path", &format!("{}/", self.name)).field("description", &self.description);
            out.field("local", &false).object("options", |options| {
                options.field("hmac_accessor", if self.hmac_accessor { "true" } else { "false" });
                match &self.to {
                    SinkTarget::Stdout => {
                        options.field("file_path", "stdout");
                    }
                    SinkTarget::File(file) => {
                        options.field("file_path", &file.path.display().to_string());
                        options.field("mode", &format!("{:04o}", file.mode));
                    }
                    SinkTarget::Syslog(syslog) => {
                        let address = match &syslog.address {
                            SyslogAddress::Unix(path) => format!("unix://{}", path.display()),
                            SyslogAddress::Udp(address) => format!("udp://{address}"),
                            SyslogAddress::Tcp(address) => format!("tcp://{address}"),
                        };
                        options.field("address", &address).field("tag", &syslog.tag);
                    }
                    // A path or query may hold a key.
                    SinkTarget::Http(http) => {
                        let host = http.uri.split('/').nth(2).and_then(|host| host.rsplit('@').next()).unwrap_or_default();
                        options.field("host", host);
                    }
                }
            });
        })
    }
}

/// `sys/audit`: all of them, by name and a slash.
pub fn shown(sinks: &[AuditSink]) -> Json {
    Json::object(|out| {
        for sink in sinks {
            out.object(&format!("{}/", sink.name), |one| {
                one.splice(&sink.shown());
            });
        }
    })
}
