//! The JSON that answers travel in.

use super::{Answer, Data};
use crate::json::{Json, Object};

/// About as long as an envelope without its content.
const ENVELOPE_BYTES: usize = 320;

impl Answer {
    /// The JSON body that a client gets; `None` where there is none.
    pub fn into_body(self, request_id: &str) -> Option<Json> {
        match self {
            Self::Empty | Self::Written { .. } | Self::Unchanged { .. } | Self::Text { .. } => None,
            Self::Accepted { warnings } if warnings.is_empty() => None,
            Self::Accepted { warnings } => Some(envelope(request_id, &Data { warnings, ..Data::new(None) }, None, None)),
            Self::Bare { body, .. } => Some(body),
            Self::Data(data) => Some(envelope(request_id, &data, None, None)),
            Self::Auth { auth, warnings } => Some(envelope(request_id, &Data { warnings, ..Data::new(None) }, Some(&auth), None)),
            // Whoever gets it shall not find the request in a log by what it was for.
            Self::Wrapped(info) => Some(envelope("", &Data::new(None), None, Some(&info))),
        }
    }
}

/// The eight keys that every answer has, `mount_type`, and `data`'s own keys besides where `sys/*` repeats them.
fn envelope(request_id: &str, data: &Data, auth: Option<&Json>, wrap_info: Option<&Json>) -> Json {
    let content = data.data.as_ref().or(auth).map_or(0, |json| json.expose().len());
    let bytes = ENVELOPE_BYTES + if data.doubled { 2 * content } else { content };
    Json::object_of(bytes, |o| {
        if data.doubled {
            data.data.as_ref().into_iter().for_each(|json| {
                o.splice(json);
            });
        }
        o.field("request_id", request_id).field("lease_id", "").field("renewable", &false);
        o.field("lease_duration", &data.lease_duration);
        optional(o, "data", data.data.as_ref());
        optional(o, "wrap_info", wrap_info);
        if data.warnings.is_empty() {
            o.null("warnings")
        } else {
            o.strings("warnings", &data.warnings)
        };
        optional(o, "auth", auth);
        if !data.mount_type.is_empty() {
            o.field("mount_type", data.mount_type);
        }
    })
}

fn optional(object: &mut Object<'_>, name: &str, json: Option<&Json>) {
    match json {
        Some(json) => object.raw(name, json.expose()),
        None => object.null(name),
    };
}
