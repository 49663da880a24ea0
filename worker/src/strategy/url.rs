//! Base URL, strategy paths, status URLs.

use url::Url;

use super::InvalidAssignment;
use crate::drive::InvalidUrl;

/// Reads the target's URL.
pub(super) fn base(text: &str) -> Result<Url, InvalidUrl> {
    Url::parse(text).map_err(|e| InvalidUrl::Syntax(text.to_owned(), e))
}

/// Appends a path, which may have a query, to the base URL's path.
pub(super) fn append(base: &Url, path: &str) -> Result<Url, InvalidUrl> {
    let text = format!("{}/{}", base.as_str().trim_end_matches('/'), path.trim_start_matches('/'));
    Url::parse(&text).map_err(|e| InvalidUrl::Syntax(text, e))
}

/// A status route with the place of the job id marked.
#[derive(Debug)]
pub(super) struct StatusPath {
    before: String,
    after: String,
}

impl StatusPath {
    /// From a template such as `/status/{id}` or `/status?task_id={id}`.
    pub(super) fn new(base: &Url, template: &str) -> Result<Self, InvalidAssignment> {
        let (before, after) =
            template.split_once("{id}").ok_or_else(|| InvalidAssignment::StatusPath(template.to_owned()))?;
        let before = format!("{}/{}", base.as_str().trim_end_matches('/'), before.trim_start_matches('/'));
        let path = Self { before, after: after.to_owned() };
        path.url("probe")?;
        Ok(path)
    }

    /// The status URL of a job.
    pub(super) fn url(&self, id: &str) -> Result<Url, InvalidUrl> {
        let text = format!("{}{}{}", self.before, Encoded(id), self.after);
        Url::parse(&text).map_err(|e| InvalidUrl::Syntax(text, e))
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters: right in a path segment and in a query.
struct Encoded<'a>(&'a str);

impl std::fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_appended_to_the_base_urls_path() {
        let join = |base_url, path| append(&base(base_url).unwrap(), path).unwrap().to_string();
        assert_eq!(join("http://gpu:8000", "/generate"), "http://gpu:8000/generate");
        assert_eq!(join("http://gpu:8000/api/", "/generate?x=1"), "http://gpu:8000/api/generate?x=1");
    }

    #[test]
    fn a_job_id_is_encoded_whatever_it_holds() {
        let path = StatusPath::new(&base("http://gpu/api").unwrap(), "/jobs/{id}/status").unwrap();
        assert_eq!(path.url("a/b c?").unwrap().as_str(), "http://gpu/api/jobs/a%2Fb%20c%3F/status");
        let query = StatusPath::new(&base("http://gpu").unwrap(), "/status?task_id={id}").unwrap();
        assert_eq!(query.url("1&2").unwrap().as_str(), "http://gpu/status?task_id=1%262");
        assert!(StatusPath::new(&base("http://gpu").unwrap(), "/status").is_err());
    }
}
