//! True form bodies, and query strings (WHATWG URL, `application/x-www-form-urlencoded`).

use zeroize::Zeroizing;

use crate::answer::Refusal;
use crate::json::Json;

/// The longest query string, in bytes as it is on the wire.
pub const QUERY_BYTES_MAX: usize = 16 * 1024;
/// The most parameters in a query string or fields in a form.
pub const PARAMETERS_MAX: usize = 100;

/// True when `text` is `name=value&...`. JSON arrives under this content type too, and forms arrive without it, so the
/// text has to look the part; the header only allows what is not escaped as it should be.
pub(super) fn is_form(text: &str, content_type: Option<&str>) -> bool {
    let Some((name, _)) = text.split_once('=') else { return false };
    let declared =
        content_type.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%+".contains(&byte);
    !name.is_empty() && name.bytes().all(plain) && (declared || text.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// The fields, their values as JSON strings.
pub(super) fn decode(text: &str) -> Result<Vec<(String, Zeroizing<String>)>, Refusal> {
    let mut entries: Vec<(String, Zeroizing<String>)> = Vec::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if entries.iter().any(|(known, _)| *known == name) {
            return Err(Refusal::Invalid(format!("the form names {name:?} twice")));
        }
        if entries.len() == PARAMETERS_MAX {
            return Err(Refusal::Invalid(format!("the form has more than {PARAMETERS_MAX} fields")));
        }
        let value = Zeroizing::new(value.into_owned());
        let mut quoted = Json::value(value.as_str()).into_secret().into_wiping();
        let quoted = String::from_utf8(std::mem::take(&mut *quoted)).map_err(|_| Refusal::invalid("the form is not UTF-8"))?;
        entries.push((name.into_owned(), Zeroizing::new(quoted)));
    }
    Ok(entries)
}

/// The parameters of a query string, decoded. Where a name is repeated, the first one counts.
#[derive(Default)]
pub struct Query {
    parameters: Vec<(String, String)>,
}

impl Query {
    /// Reads what follows the `?` of a URL. `Invalid` when it is past a limit.
    pub fn parse(raw: &str) -> Result<Self, Refusal> {
        if raw.len() > QUERY_BYTES_MAX {
            return Err(Refusal::Invalid(format!("the query string is longer than {QUERY_BYTES_MAX} bytes")));
        }
        let mut parameters = Vec::new();
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            if parameters.len() == PARAMETERS_MAX {
                return Err(Refusal::Invalid(format!("the query string has more than {PARAMETERS_MAX} parameters")));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { parameters })
    }

    /// The value of a parameter.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// True when the parameter is what Go's `strconv.ParseBool` takes for true: clients write `true`, `True` and `1`.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some("1" | "t" | "T" | "true" | "True" | "TRUE"))
    }

    /// A whole number; negative ones count as 0.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.value(name).map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
        let number: i64 = text
            .parse()
            .map_err(|_| Refusal::Invalid(format!("error converting input for field {name:?}: expected a whole number")))?;
        Ok(Some(u64::try_from(number).unwrap_or(0)))
    }
}
