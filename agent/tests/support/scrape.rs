//! A reader of Prometheus's text format that lets nothing pass that the format does not allow.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No step of a test takes longer than this unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

type Labels = BTreeMap<String, String>;

/// What one scrape brought.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) text: String,
    types: HashMap<String, String>,
    samples: Vec<(String, Labels, f64)>,
}

/// The head and the body of the answer to a GET.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(addr).await.expect("a port that listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request that goes out");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_ascii_lowercase(), body.to_owned())
}

/// Scrapes once.
pub(crate) async fn scrape(addr: SocketAddr) -> Scrape {
    let (head, text) = get(addr, "/metrics").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    Scrape::parse(text)
}

/// Scrapes until what came is as wanted.
pub(crate) async fn scrape_until(addr: SocketAddr, wanted: impl Fn(&Scrape) -> bool) -> Scrape {
    let mut last = String::new();
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let scrape = scrape(addr).await;
            if wanted(&scrape) {
                return scrape;
            }
            last = scrape.text;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("that did not come; the last was\n{last}"))
}

impl Scrape {
    fn parse(text: String) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut types = HashMap::new();
        let mut samples = Vec::new();
        let mut seen = HashSet::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("words of help");
                assert!(!words.is_empty(), "{line}");
                assert!(!types.contains_key(name), "{name} comes twice");
                name.clone_into(&mut family);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                assert_eq!(name, family, "help and type belong together");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                types.insert(name.to_owned(), kind.to_owned());
            } else {
                let (name, labels, value) = sample(line);
                let kind = types.get(&family).unwrap_or_else(|| panic!("no type before {line}"));
                let suffixes: &[&str] =
                    if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                let of_it = suffixes.iter().any(|suffix| name == format!("{family}{suffix}"));
                assert!(of_it, "{line} is within {family}");
                assert!(seen.insert((name.clone(), labels.clone())), "{line} comes twice");
                samples.push((name, labels, value));
            }
        }
        Self { text, types, samples }
    }

    /// A family's type; `None`: it is not there.
    pub(crate) fn kind(&self, name: &str) -> Option<&str> {
        self.types.get(name).map(String::as_str)
    }

    /// The values of a name whose labels are these and maybe others.
    pub(crate) fn values(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let fits =
            |all: &Labels| labels.iter().all(|(label, value)| all.get(*label).is_some_and(|v| v == value));
        let of_it = self.samples.iter().filter(|(n, all, _)| n == name && fits(all));
        of_it.map(|(_, _, value)| *value).collect()
    }

    /// The one value of a name with these labels; `None`: it has no line.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values = self.values(name, labels);
        assert!(values.len() <= 1, "{name}{labels:?} has {values:?}");
        values.first().copied()
    }

    /// All labels of the first sample of a name.
    pub(crate) fn labels(&self, name: &str) -> Option<&Labels> {
        self.samples.iter().find(|(n, _, _)| n == name).map(|(_, labels, _)| labels)
    }
}

fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(word) && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value in {line}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("a label in {line}"));
            assert!(is_name(label), "{line}");
            let (value, after) = label_value(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} twice in {line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').and_then(|value| value.parse().ok());
    let value: f64 = value.unwrap_or_else(|| panic!("a number in {line}"));
    assert!(value.is_finite(), "{line}");
    (name.to_owned(), labels, value)
}

/// A label's value up to its closing quote, and what follows.
fn label_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                other => panic!("no such escape: {other:?}"),
            },
            c => value.push(c),
        }
    }
    panic!("a value without an end: {text}")
}
