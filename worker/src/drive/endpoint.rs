//! A URL with everything about it that a request needs, worked out once.

use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use thiserror::Error;
use url::{Host, Url};

/// A URL that cannot be asked.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum InvalidUrl {
    #[error("`{0}` is not a URL ({1})")]
    Syntax(String, url::ParseError),
    #[error("`{0}` is neither an http nor an https URL")]
    Scheme(String),
    #[error("`{0}` has no host")]
    NoHost(String),
    #[error("`{0}` holds credentials; send them as a header instead")]
    Credentials(String),
    #[error("`{0}` has a path that HTTP cannot carry")]
    Path(String),
}

/// Where connections lead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// Over TLS.
    pub(crate) secure: bool,
    /// Name or address, an IPv6 one without brackets.
    pub(crate) host: String,
    /// Port, the scheme's own if none was given.
    pub(crate) port: u16,
}

/// What a body-carrying or a body-less request sends, apart from the host.
#[derive(Clone, Debug)]
pub(crate) struct HeaderSet {
    post: HeaderMap,
    get: HeaderMap,
}

impl HeaderSet {
    /// The defaults, overridden and extended by the target's own headers.
    pub(crate) fn new(custom: &HeaderMap) -> Self {
        let mut get = HeaderMap::new();
        get.insert(ACCEPT, HeaderValue::from_static("*/*"));
        get.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("fluxfleet-worker/", env!("CARGO_PKG_VERSION"))),
        );
        let mut post = get.clone();
        post.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for headers in [&mut get, &mut post] {
            for name in custom.keys() {
                headers.remove(name);
            }
            for (name, value) in custom {
                headers.append(name, value.clone());
            }
        }
        Self { post, get }
    }
}

/// A URL, ready to be asked by GET or POST.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    pub(crate) origin: Origin,
    /// Path and query as the request line carries them.
    pub(crate) uri: http::Uri,
    /// Complete but for the content length.
    pub(crate) headers: HeaderMap,
    pub(crate) method: http::Method,
    /// Request line and headers as HTTP/1.1 writes them: with a body up to `content-length: `, without one whole.
    pub(super) head: Box<[u8]>,
    /// The target's own headers ask for a connection for this request alone.
    pub(super) close: bool,
}

impl Endpoint {
    /// For POST with a JSON body.
    pub(crate) fn post(url: Url, headers: &HeaderSet) -> Result<Self, InvalidUrl> {
        Self::new(url, http::Method::POST, headers.post.clone())
    }

    /// For GET.
    pub(crate) fn get(url: Url, headers: &HeaderSet) -> Result<Self, InvalidUrl> {
        Self::new(url, http::Method::GET, headers.get.clone())
    }

    fn new(url: Url, method: http::Method, mut headers: HeaderMap) -> Result<Self, InvalidUrl> {
        let secure = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(InvalidUrl::Scheme(url.into())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::Credentials(url.into()));
        }
        let (host, shown) = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => (name.to_owned(), name.to_owned()),
            Some(Host::Ipv4(ip)) => (ip.to_string(), ip.to_string()),
            Some(Host::Ipv6(ip)) => (ip.to_string(), format!("[{ip}]")),
            _ => return Err(InvalidUrl::NoHost(url.into())),
        };
        let port = url.port_or_known_default().unwrap_or(80);
        let path = url.query().map_or_else(|| url.path().to_owned(), |q| format!("{}?{q}", url.path()));
        let bad_path = || InvalidUrl::Path(url.to_string());
        let uri = http::Uri::from(path.parse::<PathAndQuery>().map_err(|_| bad_path())?);
        if !headers.contains_key(HOST) {
            let shown = url.port().map_or_else(|| shown.clone(), |port| format!("{shown}:{port}"));
            headers.insert(HOST, HeaderValue::try_from(shown).map_err(|_| bad_path())?);
        }
        let head = head(&method, &uri, &headers).into();
        let close = headers.get_all(CONNECTION).iter().any(|value| {
            value.as_bytes().split(|&b| b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(b"close"))
        });
        Ok(Self { origin: Origin { secure, host, port }, uri, headers, method, head, close, url })
    }

    /// Whether requests have a body.
    pub(crate) fn carries_body(&self) -> bool {
        self.method == http::Method::POST
    }

    /// Where an answer's `Location` leads. `keep_method` replays the method, else GET is asked. The target's
    /// own headers (credentials among them) go along only within the same origin.
    pub(crate) fn redirect(&self, location: &str, keep_method: bool) -> Result<Self, InvalidUrl> {
        let url = self.url.join(location).map_err(|e| InvalidUrl::Syntax(location.to_owned(), e))?;
        let method = if keep_method { self.method.clone() } else { http::Method::GET };
        let mut headers = self.headers.clone();
        headers.remove(HOST);
        if method == http::Method::GET {
            headers.remove(CONTENT_TYPE);
        }
        let next = Self::new(url, method, headers)?;
        if next.origin == self.origin {
            let mut headers = next.headers;
            if let Some(host) = self.headers.get(HOST) {
                headers.insert(HOST, host.clone());
            }
            return Self::new(next.url, next.method, headers);
        }
        let plain = HeaderSet::new(&HeaderMap::new());
        let defaults = if next.method == http::Method::GET { plain.get } else { plain.post };
        Self::new(next.url, next.method, defaults)
    }

    /// Method and path, as failure texts show them.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.method, self.uri)
    }
}

/// The beginning of a request, rendered once.
fn head(method: &http::Method, uri: &http::Uri, headers: &HeaderMap) -> Vec<u8> {
    let mut head = format!("{method} {uri} HTTP/1.1\r\n").into_bytes();
    // The host first (RFC 9110, section 7.2): a service may decide by it before it reads the others.
    let (host, others): (Vec<_>, Vec<_>) = headers.iter().partition(|(name, _)| *name == HOST);
    for (name, value) in host.into_iter().chain(others) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(if method == http::Method::POST { b"content-length: " } else { b"\r\n" });
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, custom: &[(&'static str, &str)]) -> Endpoint {
        let custom = custom
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        Endpoint::post(Url::parse(url).unwrap(), &HeaderSet::new(&custom)).unwrap()
    }

    #[test]
    fn the_host_header_names_a_port_only_when_the_url_does() {
        assert_eq!(endpoint("http://gpu/generate", &[]).headers[HOST], "gpu");
        assert_eq!(endpoint("http://[::1]:8000/x?y=1", &[]).headers[HOST], "[::1]:8000");
        assert_eq!(endpoint("http://gpu/x", &[("host", "front")]).headers[HOST], "front");
        assert_eq!(endpoint("http://[::1]:8000/x?y=1", &[]).uri.to_string(), "/x?y=1");
    }

    #[test]
    fn the_head_is_rendered_ahead_with_the_host_first() {
        let e = endpoint("http://gpu:8000/x?y=1", &[("x-key", "k"), ("connection", "a, Close")]);
        let head = String::from_utf8(e.head.to_vec()).unwrap();
        assert!(head.starts_with("POST /x?y=1 HTTP/1.1\r\nhost: gpu:8000\r\n"), "{head}");
        assert!(head.ends_with("\r\ncontent-length: ") && head.contains("\r\nx-key: k\r\n"), "{head}");
        assert!(e.close && !endpoint("http://gpu/", &[("connection", "keep-alive")]).close);
        let get =
            Endpoint::get(Url::parse("http://gpu/").unwrap(), &HeaderSet::new(&HeaderMap::new())).unwrap();
        assert!(get.head.ends_with(b"\r\n\r\n") && !get.carries_body());
    }

    #[test]
    fn the_targets_own_headers_replace_the_defaults() {
        let e = endpoint("http://gpu/", &[("accept", "image/png"), ("x-key", "k")]);
        assert_eq!(e.headers.get_all(ACCEPT).iter().count(), 1);
        assert_eq!(
            (&e.headers[ACCEPT], &e.headers["x-key"]),
            (&"image/png".parse().unwrap(), &"k".parse().unwrap())
        );
    }

    #[test]
    fn a_redirect_to_another_origin_does_not_carry_the_targets_headers() {
        let e = endpoint("http://gpu/a/b", &[("authorization", "secret")]);
        let same = e.redirect("c", true).unwrap();
        assert_eq!((same.url.as_str(), same.method.as_str()), ("http://gpu/a/c", "POST"));
        assert!(same.headers.contains_key("authorization"));
        let other = e.redirect("http://elsewhere/c", false).unwrap();
        assert_eq!((other.method.as_str(), &other.headers[HOST]), ("GET", &"elsewhere".parse().unwrap()));
        assert!(!other.headers.contains_key("authorization") && !other.headers.contains_key(CONTENT_TYPE));
        assert!(e.redirect("ftp://gpu/", true).is_err());
    }
}
