//! What the stock environment variables of OpenTelemetry say. Pure: the caller looks variables up and reads files.
//!
//! As the specification wants it, a value that is none is told and passed over: what is meant for watching must not keep a server from
//! starting. No value is in a warning: headers hold credentials.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::context::Sampler;
use crate::secret::SecretText;

/// Where traces go.
pub struct Settings {
    /// The whole URL, `/v1/traces` included.
    pub endpoint: String,
    /// Headers of each export.
    pub headers: Vec<(String, SecretText)>,
    /// Authorities of the collector's certificate, PEM, in place of those of the operating system.
    pub certificate: Option<PathBuf>,
    /// Which requests are traced.
    pub sampler: Sampler,
    /// What describes this server: names and texts.
    pub resource: Vec<(String, String)>,
}

/// The service's name, unless the operator gives it another one.
const SERVICE_NAME: &str = "strongroom";
/// Where a collector listens for OTLP over HTTP.
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";
/// Headers, and attributes of the resource.
const PAIRS_MAX: usize = 64;

/// Reads the variables. Without an endpoint, or an exporter that is asked for by name, there is nothing to send and `None`. The texts are
/// warnings.
pub fn settings(look_up: &dyn Fn(&str) -> Option<String>) -> (Option<Settings>, Vec<String>) {
    let mut warnings = Vec::new();
    let settings = read(&Variables { look_up }, &mut warnings);
    (settings, warnings)
}

struct Variables<'a> {
    look_up: &'a dyn Fn(&str) -> Option<String>,
}

impl Variables<'_> {
    /// Empty counts as not set.
    fn text(&self, name: &str) -> Option<String> {
        (self.look_up)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// That of traces, else that of everything.
    fn exporter(&self, name: &str) -> Option<String> {
        self.text(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}")).or_else(|| self.text(&format!("OTEL_EXPORTER_OTLP_{name}")))
    }
}

fn read(variables: &Variables<'_>, warnings: &mut Vec<String>) -> Option<Settings> {
    if variables.text("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return None;
    }
    let wanted = match variables.text("OTEL_TRACES_EXPORTER").as_deref() {
        None => false,
        Some("none") => return None,
        Some("otlp") => true,
        Some(_) => {
            warnings.push("OTEL_TRACES_EXPORTER: only otlp and none are offered: no traces are sent".to_owned());
            return None;
        }
    };
    let endpoint = endpoint(variables).or_else(|| wanted.then(|| whole(DEFAULT_ENDPOINT)))?;
    if variables.exporter("PROTOCOL").is_some_and(|protocol| protocol != "http/protobuf") {
        warnings.push("OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is offered: no traces are sent".to_owned());
        return None;
    }
    if variables.exporter("COMPRESSION").is_some_and(|compression| compression != "none") {
        warnings.push("OTEL_EXPORTER_OTLP_COMPRESSION: traces are sent without compression".to_owned());
    }
    let headers = pairs(variables.exporter("HEADERS"), "OTEL_EXPORTER_OTLP_HEADERS", warnings);
    Some(Settings {
        endpoint,
        headers: headers.into_iter().map(|(name, value)| (name, SecretText::new(value))).collect(),
        certificate: variables.exporter("CERTIFICATE").map(PathBuf::from),
        sampler: sampler(variables, warnings),
        resource: resource(variables, warnings),
    })
}

/// The endpoint of traces is taken as it is; to that of everything belongs a path for each kind.
fn endpoint(variables: &Variables<'_>) -> Option<String> {
    let of_traces = variables.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    of_traces.or_else(|| variables.text("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| whole(&base)))
}

fn whole(base: &str) -> String {
    format!("{}/v1/traces", base.trim_end_matches('/'))
}

fn sampler(variables: &Variables<'_>, warnings: &mut Vec<String>) -> Sampler {
    let Some(name) = variables.text("OTEL_TRACES_SAMPLER") else { return Sampler::default() };
    let argument = variables.text("OTEL_TRACES_SAMPLER_ARG");
    Sampler::named(&name, argument.as_deref()).unwrap_or_else(|| {
        warnings.push("OTEL_TRACES_SAMPLER: there is no such sampler, or its share is none: all requests are traced".to_owned());
        Sampler::default()
    })
}

/// What the operator says of this server, its name and version.
fn resource(variables: &Variables<'_>, warnings: &mut Vec<String>) -> Vec<(String, String)> {
    let mut resource = pairs(variables.text("OTEL_RESOURCE_ATTRIBUTES"), "OTEL_RESOURCE_ATTRIBUTES", warnings);
    let mut set = |name: &str, value: String| {
        resource.retain(|(other, _)| other != name);
        resource.push((name.to_owned(), value));
    };
    set("service.version", env!("CARGO_PKG_VERSION").to_owned());
    if let Some(name) = variables.text("OTEL_SERVICE_NAME") {
        set("service.name", name);
    } else if !resource.iter().any(|(name, _)| name == "service.name") {
        resource.push(("service.name".to_owned(), SERVICE_NAME.to_owned()));
    }
    resource
}

/// `name=value,name=value`; values may be percent-encoded.
fn pairs(text: Option<String>, variable: &str, warnings: &mut Vec<String>) -> Vec<(String, String)> {
    let text = text.unwrap_or_default();
    let mut pairs = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let pair = part.split_once('=').and_then(|(name, value)| {
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned();
            Some((name.trim().to_owned(), value)).filter(|(name, _)| !name.is_empty())
        });
        match pair {
            Some(pair) if pairs.len() < PAIRS_MAX => pairs.push(pair),
            _ => {
                warnings.push(format!("{variable}: is not a list of at most {PAIRS_MAX} name=value: part of it is left out"));
                break;
            }
        }
    }
    pairs
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
