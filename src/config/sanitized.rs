//! The configuration as an operator may see it over the API. What is shown is named here one by one, so that a new key is
//! hidden until somebody decides otherwise: no password, no key, and no file that holds one.

use super::{Config, Listener, SealKind, Storage};
use crate::json::{Json, Object};
use crate::logging::LogFormat;

impl Config {
    /// An object without secrets.
    pub fn sanitized(&self) -> Json {
        let listeners: Vec<Json> = self.listeners.iter().map(listener).collect();
        let seals: Vec<Json> = self.seals.iter().map(|seal| kind_of_seal(&seal.name, &seal.kind)).collect();
        Json::object(|out| {
            out.field("api_addr", self.api_addr.as_deref().unwrap_or(""));
            out.field("cluster_name", self.cluster_name.as_deref().unwrap_or(""));
            out.field("default_lease_ttl", &self.default_lease_ttl.as_secs());
            out.field("max_lease_ttl", &self.max_lease_ttl.as_secs());
            out.field("log_level", self.log_level.word()).field("log_format", word(self.log_format));
            out.field("outbound_allow", &self.outbound_allow);
            list(out, "listeners", &listeners);
            list(out, "seals", &seals);
            out.object("storage", |storage| match &self.storage {
                Storage::Sqlite { .. } => drop(storage.field("type", "sqlite")),
                Storage::Postgres(postgres) => {
                    storage.field("type", "postgresql").field("max_parallel", &postgres.connections_max);
                }
            });
            if let Some(archive) = &self.archive {
                out.object("archive", |out| {
                    out.field("type", archive.to.kind()).field("interval", &archive.interval.as_secs());
                });
            }
            let witnesses: Vec<&str> = self.witnesses.all.iter().map(|witness| witness.name.as_str()).collect();
            out.strings("witnesses", &witnesses).field("witnesses_required", &self.witnesses.required);
            if let Some(backup) = &self.backup {
                out.object("backup", |out| {
                    out.field("type", backup.to.kind()).field("interval", &backup.interval.map(|interval| interval.as_secs()));
                });
            }
            out.object("telemetry", |telemetry| {
                telemetry.field("prometheus_retention_time", &self.telemetry.prometheus_retention.as_secs());
                telemetry.field("disable_hostname", &self.telemetry.disable_hostname);
            });
        })
    }
}

fn list(out: &mut Object<'_>, name: &str, items: &[Json]) {
    let texts: Vec<&[u8]> = items.iter().map(Json::expose).collect();
    out.raw(name, &[&b"["[..], &texts.join(&b','), b"]"].concat());
}

fn word(format: LogFormat) -> &'static str {
    LogFormat::WORDS.into_iter().find(|(_, known)| *known == format).map_or("", |(word, _)| word)
}

fn listener(listener: &Listener) -> Json {
    Json::object(|out| {
        out.field("type", "tcp").object("config", |config| {
            config.field("address", &listener.address.to_string()).field("tls_disable", &listener.tls.is_none());
            config.field("max_request_size", &listener.max_request_size);
            config.field("max_request_duration", &listener.max_request_duration.as_secs());
            config.field("max_connections", &listener.connections_max);
            if let Some(tls) = &listener.tls {
                config.field("tls_require_and_verify_client_cert", &tls.require_client_cert);
            }
        });
    })
}

fn kind_of_seal(name: &str, kind: &SealKind) -> Json {
    let kind = match kind {
        SealKind::Shamir => "shamir",
        SealKind::Static { .. } => "static",
        SealKind::AwsKms(_) => "awskms",
        SealKind::Transit(_) => "transit",
        SealKind::Pkcs11(_) => "pkcs11",
        SealKind::Recovery => "recovery",
    };
    Json::object(|out| {
        out.field("type", kind).field("name", name).field("disabled", &false);
    })
}
