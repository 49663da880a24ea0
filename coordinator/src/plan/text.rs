//! Reading one typed value: numbers, durations, sizes, URLs, headers. Each error says what would do.

pub(super) mod load;

use std::time::Duration;

use url::Url;

/// A whole number within bounds.
pub(super) fn number(text: &str, min: u64, max: u64) -> Result<u64, String> {
    match text.trim().replace('_', "").parse::<i128>() {
        Ok(n) if n < i128::from(min) || n > i128::from(max) => {
            Err(format!("must be between {min} and {max}"))
        }
        Ok(n) => u64::try_from(n).map_err(|e| e.to_string()),
        Err(_) => Err(format!("is not a whole number; give one between {min} and {max}")),
    }
}

/// A duration such as `500ms`, `10s`, `1.5m`, `1h`; a bare number means seconds.
pub(super) fn duration(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let t = text.trim();
    let split = t.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(t.len());
    let (digits, unit) = t.split_at(split);
    let seconds_per = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("has no unit I know; use ms, s, m or h as in 500ms or 10s".to_owned()),
    };
    let value: f64 = digits
        .trim()
        .parse()
        .map_err(|_| "is not a duration; write it as 500ms, 10s, 2m or 1h".to_owned())?;
    let wanted = Duration::try_from_secs_f64(value * seconds_per)
        .map_err(|_| "is not a duration that can pass".to_owned())?;
    if wanted < min || wanted > max {
        return Err(format!("must be between {} and {}", show(min), show(max)));
    }
    Ok(wanted)
}

fn show(d: Duration) -> String {
    match d.as_millis() {
        ms if ms % 1000 != 0 => format!("{ms}ms"),
        ms if ms % 3_600_000 == 0 && ms > 0 => format!("{}h", ms / 3_600_000),
        ms => format!("{}s", ms / 1000),
    }
}

/// A size in bytes: `1000`, `64KiB`, `32MiB`, `1GiB`.
pub(super) fn bytes(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let t = text.trim();
    let split = t.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(t.len());
    let (digits, unit) = t.split_at(split);
    let scale: u64 = match unit.trim() {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return Err("has no unit I know; use KiB, MiB or GiB as in 32MiB".to_owned()),
    };
    let n = number(digits, 0, u64::MAX / scale)? * scale;
    if n < min || n > max {
        return Err(format!("must be between {min} and {max} bytes"));
    }
    Ok(n)
}

/// A URL with the credentials in it, if any, masked. Takes any text, so that it can be shown in a complaint.
pub(super) fn masked(text: &str) -> String {
    let authority = text.find("://").map_or(0, |at| at + 3);
    let end = text[authority..].find(['/', '?', '#']).map_or(text.len(), |at| authority + at);
    match text[authority..end].rfind('@') {
        Some(at) => format!("{}***{}", &text[..authority], &text[authority + at..]),
        None => text.to_owned(),
    }
}

/// The service's URL, without a trailing slash.
pub(super) fn url(text: &str) -> Result<String, String> {
    let t = text.trim();
    if !t.contains("://") {
        return Err(format!("has no scheme; did you mean http://{} ?", masked(t)));
    }
    let url = Url::parse(t).map_err(|e| format!("is not a URL ({e}); write it as http://HOST:PORT"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme {}; only http and https are spoken", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "holds credentials, which would end up in reports; use --header 'Authorization: ..'".to_owned()
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment; give the base URL, strategies append their routes".to_owned());
    }
    if url.port() == Some(0) {
        return Err("has port 0, which nothing listens on".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A proxy, as `http://HOST:PORT`.
pub(super) fn proxy(text: &str) -> Result<String, String> {
    let url = url(text).map_err(|trouble| {
        if trouble.contains("credentials") {
            "holds credentials; a proxy that wants them cannot be used".to_owned()
        } else if trouble.contains("has the scheme") {
            "is not spoken to over plain HTTP; write it as http://HOST:PORT".to_owned()
        } else {
            trouble
        }
    })?;
    match Url::parse(&url) {
        Ok(parsed) if parsed.scheme() != "http" => {
            Err("is not spoken to over plain HTTP; write it as http://HOST:PORT".to_owned())
        }
        Ok(parsed) if parsed.path() != "/" => Err("has a path; write it as http://HOST:PORT".to_owned()),
        _ => Ok(url),
    }
}

/// A route such as `/generate`.
pub(super) fn route(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err(format!("does not begin with a slash; did you mean /{text} ?"));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#') {
        return Err("holds white space, control characters or #".to_owned());
    }
    Ok(())
}

/// `Name: value`.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("has no colon; write it as 'Name: value'".to_owned())?;
    let (name, value) = (name.trim(), value.trim());
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return Err("has a name that HTTP does not allow".to_owned());
    }
    if ["host", "content-length", "transfer-encoding", "connection"]
        .contains(&name.to_ascii_lowercase().as_str())
    {
        return Err("is set by the connection itself and cannot be given".to_owned());
    }
    if !value.chars().all(|c| c == '\t' || (' '..='~').contains(&c)) {
        return Err("has a value that is not visible ASCII".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// `name=value`; the value is JSON, or else taken as text.
pub(super) fn parameter(text: &str) -> Result<(String, serde_json::Value), String> {
    let (name, value) = text.split_once('=').ok_or("has no =; write it as name=value".to_owned())?;
    if name.trim().is_empty() {
        return Err("has no name before the =".to_owned());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| serde_json::Value::String(value.to_owned()));
    Ok((name.trim().to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bare_numbers_are_seconds() {
        let any = |t| duration(t, Duration::ZERO, Duration::from_secs(7200));
        assert_eq!(any("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(any("10"), Ok(Duration::from_secs(10)));
        assert_eq!(any(" 1.5 m "), Ok(Duration::from_secs(90)));
        assert_eq!(any("1h"), Ok(Duration::from_secs(3600)));
        for wrong in ["", "s", "-3s", "1e400s", "nan", "inf", "10 parsecs", "3h"] {
            assert!(any(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_url_without_a_scheme_is_told_what_was_meant() {
        assert_eq!(url("localhost:8000").unwrap_err(), "has no scheme; did you mean http://localhost:8000 ?");
        assert!(url("ftp://x").unwrap_err().contains("only http and https"));
        assert!(url("http://").is_err());
        assert!(url("http://user:pw@x").unwrap_err().contains("credentials"));
        assert!(url("http://x/?a=1").is_err());
        assert_eq!(url("http://[::1]:8000/v1/").as_deref(), Ok("http://[::1]:8000/v1"));
    }

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        assert_eq!(proxy("http://proxy:3128/").as_deref(), Ok("http://proxy:3128"));
        for wrong in ["proxy:3128", "https://proxy", "socks5://proxy", "http://me:pw@proxy", "http://proxy/x"]
        {
            let error = proxy(wrong).expect_err(wrong);
            assert!(!error.contains("pw"), "{error}");
        }
    }

    #[test]
    fn numbers_out_of_bounds_name_the_bounds() {
        assert_eq!(number("0", 1, 9).unwrap_err(), "must be between 1 and 9");
        assert_eq!(number("-4", 1, 9).unwrap_err(), "must be between 1 and 9");
        assert!(number("1.5", 1, 9).unwrap_err().contains("whole number"));
        assert!(number("99999999999999999999999", 1, 9).unwrap_err().contains("between"));
        assert_eq!(bytes("32MiB", 1, u64::MAX), Ok(32 << 20));
        assert!(bytes("32 apples", 1, 9).is_err());
    }

    #[test]
    fn headers_that_belong_to_the_connection_are_refused() {
        assert_eq!(header("Authorization: Bearer a:b"), Ok(("Authorization".into(), "Bearer a:b".into())));
        for wrong in ["x", ": y", "a b: c", "Host: x", "X: \u{7}", "X: 中"] {
            assert!(header(wrong).is_err(), "{wrong}");
        }
    }
}
