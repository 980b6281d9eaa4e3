//! Finished requests as the bytes of OTLP: `ExportTraceServiceRequest` of opentelemetry-proto 1, in protobuf. Field numbers are those of
//! its `.proto` files, which are named at each message.

use super::recording::{Done, Ended, Finished};

/// What begins a message: who sends it. Pairs of a name and a text, as the operator configured them.
pub(super) type Resource = [(String, String)];

const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const ERROR: u64 = 2;

/// The body of one export.
pub(super) fn request(resource: &Resource, finished: &[Finished]) -> Vec<u8> {
    let mut request = Message::default();
    // collector/trace/v1: resource_spans = 1
    request.message(1, |spans| {
        // trace/v1 ResourceSpans: resource = 1, scope_spans = 2
        spans.message(1, |out| resource.iter().for_each(|(name, value)| out.attribute(1, name, Value::Text(value))));
        spans.message(2, |scope| {
            // ScopeSpans: scope = 1 (name = 1, version = 2), spans = 2
            scope.message(1, |out| {
                out.text(1, env!("CARGO_PKG_NAME"));
                out.text(2, env!("CARGO_PKG_VERSION"));
            });
            for one in finished {
                scope.message(2, |span| root(span, one));
                for step in &one.steps {
                    scope.message(2, |span| below(span, one, step));
                }
            }
        });
    });
    request.0
}

fn root(span: &mut Message, of: &Finished) {
    let Ended { method, encrypted, status, id } = &of.request;
    let mount_type = of.facts.mount_type.unwrap_or_default();
    identify(span, of, (&of.root, of.parent.as_ref()), format!("{method} {mount_type}").trim_end());
    timed(span, SERVER, of.times);
    span.attribute(9, "http.request.method", Value::Text(method));
    span.attribute(9, "url.scheme", Value::Text(if *encrypted { "https" } else { "http" }));
    let (error, shown) = match status {
        None => (Some("cancelled".to_owned()), None),
        Some(status) if *status >= 500 => (Some(status.to_string()), Some(*status)),
        Some(status) => (None, Some(*status)),
    };
    if let Some(status) = shown {
        span.attribute(9, "http.response.status_code", Value::Number(u64::from(status)));
    }
    if let Some(error) = &error {
        span.attribute(9, "error.type", Value::Text(error));
    }
    if let Some(id) = id {
        span.attribute(9, "strongroom.request_id", Value::Text(id));
    }
    if let Some(tenant) = of.facts.tenant {
        span.attribute(9, "strongroom.tenant", Value::Text(&tenant.to_string()));
    }
    for (name, word) in [("strongroom.mount_type", of.facts.mount_type), ("strongroom.operation", of.facts.operation)] {
        if let Some(word) = word {
            span.attribute(9, name, Value::Text(word));
        }
    }
    if error.is_some() {
        // status = 15: code = 3
        span.message(15, |out| out.number(3, ERROR));
    }
}

fn below(span: &mut Message, of: &Finished, step: &Done) {
    identify(span, of, (&step.id, Some(&step.above)), step.step.name());
    timed(span, INTERNAL, step.times);
    if let Some(requests) = step.requests {
        span.attribute(9, "strongroom.group_requests", Value::Number(requests as u64));
    }
}

/// trace/v1 Span: `trace_id` = 1, `span_id` = 2, `parent_span_id` = 4, name = 5
fn identify(span: &mut Message, of: &Finished, (id, above): (&[u8; 8], Option<&[u8; 8]>), name: &str) {
    span.bytes(1, &of.trace);
    span.bytes(2, id);
    if let Some(above) = above {
        span.bytes(4, above);
    }
    span.text(5, name);
}

/// kind = 6, `start_time_unix_nano` = 7, `end_time_unix_nano` = 8
fn timed(span: &mut Message, kind: u64, (begin, end): (u64, u64)) {
    span.number(6, kind);
    span.fixed(7, begin);
    span.fixed(8, end);
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Number(u64),
}

/// A message of protobuf: fields, one after the other, each with its number and how it is written.
#[derive(Default)]
struct Message(Vec<u8>);

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;

impl Message {
    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    fn tag(&mut self, field: u64, form: u64) {
        self.varint(field << 3 | form);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    fn fixed(&mut self, field: u64, value: u64) {
        self.tag(field, FIXED_64);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.tag(field, LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// common/v1 `KeyValue`: key = 1, value = 2; `AnyValue`: string = 1, int = 3
    fn attribute(&mut self, field: u64, name: &str, value: Value<'_>) {
        self.message(field, |pair| {
            pair.text(1, name);
            pair.message(2, |any| match value {
                Value::Text(text) => any.text(1, text),
                Value::Number(number) => any.number(3, number),
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::recording::{Facts, Step};
    use super::*;
    use crate::id::TenantId;

    #[test]
    fn numbers_are_written_as_protobuf_has_them() {
        for (number, bytes) in [
            (0, &[0][..]),
            (1, &[1]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut message = Message::default();
            message.varint(number);
            assert_eq!(message.0, bytes, "{number}");
        }
    }

    /// The test outside has another implementation read what the server sends (`tests/it/traces.rs`); this one holds the bytes.
    #[test]
    fn the_form_is_fixed() {
        let finished = Finished {
            trace: [1; 16],
            root: [2; 8],
            parent: None,
            times: (1, 3),
            request: Ended { method: "GET", encrypted: true, status: Some(503), id: Some("r".into()) },
            facts: Facts { tenant: Some(TenantId([3; 16])), mount_type: Some("kv"), operation: Some("read") },
            steps: vec![Done { step: Step::Store, id: [4; 8], above: [2; 8], times: (1, 2), requests: Some(300) }],
        };
        let bytes = request(&[("service.name".to_owned(), "s".to_owned())], &[finished]);
        let text = data_encoding::HEXLOWER.encode(&bytes);
        for part in [
            // service.name = s
            "0a150a130a0c736572766963652e6e616d6512030a0173",
            // trace, span, name, kind, begin and end of the request
            "0a100101010101010101010101010101010112080202020202020202",
            "2a06474554206b763002390100000000000000410300000000000000",
            // http.response.status_code = 503
            "0a19687474702e726573706f6e73652e7374617475735f636f6465120318f703",
            // status: error
            "7a021802",
            // of the step: span, parent, name, kind
            "12080404040404040404220802020202020202022a0573746f72653001",
            // 300 requests
            "120318ac02",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
