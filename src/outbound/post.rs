//! Sending batches to one server again and again, for those that may wait: it blocks.

use ureq::Body;
use ureq::http::{HeaderName, HeaderValue, Request, Response};

use super::{Destination, FetchError, settings};
use crate::secret::SecretText;

/// A server that batches are sent to. Its connection is kept.
pub struct Poster {
    agent: ureq::Agent,
    url: String,
    host: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Poster {
    /// `headers` stand in every request, and may be credentials; `authorities` (PEM) stand in place of those of the operating system.
    pub fn new(to: &Destination, authorities: Option<&str>, headers: &[(String, SecretText)]) -> Result<Self, FetchError> {
        let agent = settings(to, authorities)?.build().new_agent();
        let (url, host) = (to.url().to_owned(), to.authority().to_owned());
        let headers = headers.iter().map(|(name, text)| header(name, text)).collect::<Result<_, _>>()?;
        Ok(Self { agent, url, host, headers })
    }

    /// Sends a body, and returns when the server has answered that it took it (2xx). The text says what went wrong.
    pub fn post(&self, content_type: &'static str, body: &[u8]) -> Result<(), String> {
        let answer = self.run(content_type, body)?;
        let status = answer.status();
        // Read, so that the connection can be used again.
        let _ = answer.into_body().into_with_config().limit(super::ANSWER_BYTES_MAX).read_to_vec();
        if status.is_success() { Ok(()) } else { Err(format!("{}: answered {}", self.host, status.as_u16())) }
    }

    /// Sends a body, and returns status and body of the answer, whatever they say. The text says why there is none, or why it is
    /// longer than `bytes_max`.
    pub fn ask(&self, content_type: &'static str, body: &[u8], bytes_max: u64) -> Result<(u16, Vec<u8>), String> {
        let answer = self.run(content_type, body)?;
        let status = answer.status().as_u16();
        let read = answer.into_body().into_with_config().limit(bytes_max).read_to_vec();
        Ok((status, read.map_err(|error| format!("{}: the answer broke off or is too long: {error}", self.host))?))
    }

    fn run(&self, content_type: &'static str, body: &[u8]) -> Result<Response<Body>, String> {
        let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", self.host);
        let mut request = Request::builder().method("POST").uri(&self.url).header("Content-Type", content_type);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(body).map_err(|error| failed(&error))?;
        self.agent.run(request).map_err(|error| failed(&error))
    }
}

fn header(name: &str, text: &SecretText) -> Result<(HeaderName, HeaderValue), FetchError> {
    let wrong = || FetchError::Failed("a credential cannot be sent in a header".to_owned());
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let mut value = HeaderValue::from_str(text.expose()).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((name, value))
}
