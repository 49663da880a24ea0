//! Why an item failed, and why an item was not sent.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A name that is no failure kind or no not-sent reason.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a known {1}")]
pub struct UnknownName(String, &'static str);

macro_rules! named {
    ($(#[$doc:meta])* $type:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident => $name:literal,)* } $($http:ident)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $($(#[$vdoc])* $variant,)*
            $(
                /// The answer's status was not a success; `http_` and the status.
                $http(u16),
            )?
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($name),)*
                    $(Self::$http(status) => write!(f, "http_{status}"),)?
                }
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;
            fn from_str(name: &str) -> Result<Self, UnknownName> {
                $(if let Some(status) = name.strip_prefix("http_").and_then(|s| s.parse().ok()) {
                    return Ok(Self::$http(status));
                })?
                match name {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(UnknownName(name.to_owned(), $what)),
                }
            }
        }
    };
}

named! {
    /// Why an item failed. The names are those of `results.json`.
    FailureKind, "failure kind" {
        /// The host name does not resolve.
        Dns => "dns",
        /// No connection: refused, unreachable, or not accepted in time.
        Connect => "connect",
        /// No connection, since the worker may not have another descriptor open: not the service's doing.
        Exhausted => "exhausted",
        /// The connection is there, TLS on it is not.
        Tls => "tls",
        /// No end within the request timeout.
        Timeout => "timeout",
        /// The connection was cut before the answer was whole.
        Disconnected => "disconnected",
        /// Bytes that are not HTTP.
        Protocol => "protocol",
        /// The service said that it is full (429, 503, or its own words).
        Overloaded => "overloaded",
        /// Redirects that lead nowhere.
        Redirect => "redirect",
        /// A success status and no body.
        EmptyBody => "empty_body",
        /// A body of another kind, such as an HTML page.
        NotJson => "not_json",
        /// A body that begins as JSON and breaks.
        InvalidJson => "invalid_json",
        /// JSON without the fields that show an item.
        MissingField => "missing_field",
        /// A body longer than the limit.
        BodyTooLarge => "body_too_large",
        /// A success status with an error in the body.
        ServiceError => "service_error",
        /// A batch answer with fewer items than asked for.
        ShortAnswer => "short_answer",
        /// An asynchronous job that ended as failed.
        JobFailed => "job_failed",
        /// An asynchronous job that somebody cancelled.
        JobCancelled => "job_cancelled",
        /// An asynchronous job that the service no longer knows.
        JobLost => "job_lost",
        /// In flight when the trial was stopped, and not ended within the grace.
        Interrupted => "interrupted",
    }
    Http
}

named! {
    /// Why an item was never asked for.
    NotSentReason, "not-sent reason" {
        /// The user interrupted the run.
        Interrupted => "interrupted",
        /// The item belonged to a worker that vanished; whether it had sent it is unknown.
        WorkerLost => "worker_lost",
        /// The worker reported a fault and could not go on.
        WorkerFault => "worker_fault",
        /// The trial was not begun, because the run ended before it.
        NotStarted => "not_started",
        /// The service turned out to have no endpoint for the strategy.
        NoEndpoint => "no_endpoint",
        /// An open load's arrival found as many requests in flight as are allowed, and no place came free in time.
        NoPlace => "no_place",
        /// The trial's time was up before a closed load came to it.
        TimeUp => "time_up",
        /// More had failed than the plan allows.
        ErrorLimit => "error_limit",
    }
}

impl FailureKind {
    /// Whether it says that there is nothing to ask at this path: 404, 405, 410 or 501.
    pub fn means_no_endpoint(self) -> bool {
        matches!(self, Self::Http(404 | 405 | 410 | 501))
    }
}

/// Items never asked for, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotSent(BTreeMap<NotSentReason, u64>);

impl NotSent {
    /// Counts items.
    pub fn add(&mut self, reason: NotSentReason, items: u64) {
        if items > 0 {
            *self.0.entry(reason).or_default() += items;
        }
    }

    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(reason, items)| self.add(reason, items));
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Reasons in a fixed order, each with its items.
    pub fn iter(&self) -> impl Iterator<Item = (NotSentReason, u64)> {
        self.0.iter().map(|(&reason, &items)| (reason, items))
    }

    /// Items of all reasons.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl FailureKind {
    /// Whether a connection could not be opened, or broke.
    pub fn is_of_the_socket(self) -> bool {
        matches!(self, Self::Connect | Self::Exhausted | Self::Tls | Self::Disconnected)
    }
}

/// Failed items by kind, each kind with one example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures(BTreeMap<FailureKind, Seen>);

/// Failed items of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many.
    pub count: u64,
    /// What the first of them looked like.
    pub example: Option<String>,
}

/// Longest example text kept, in characters.
const EXAMPLE_CHARS: usize = 300;

impl Failures {
    /// Counts `items` failures of a kind; the first one's text is kept as the example.
    pub fn add(&mut self, kind: FailureKind, items: u64, example: Option<&str>) {
        let seen = self.0.entry(kind).or_default();
        seen.count += items;
        if seen.example.is_none() {
            seen.example = example.map(|e| e.chars().take(EXAMPLE_CHARS).collect());
        }
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (&kind, seen) in &other.0 {
            self.add(kind, seen.count, seen.example.as_deref());
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Kinds in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (FailureKind, &Seen)> {
        self.0.iter().map(|(&kind, seen)| (kind, seen))
    }

    /// Failed items of all kinds.
    pub fn total(&self) -> u64 {
        self.0.values().map(|seen| seen.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for kind in [FailureKind::Dns, FailureKind::Http(503), FailureKind::JobLost, FailureKind::Interrupted]
        {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("worker_lost".parse(), Ok(NotSentReason::WorkerLost));
        assert!("http_".parse::<FailureKind>().is_err());
        assert_eq!(
            "x".parse::<NotSentReason>().unwrap_err().to_string(),
            "`x` is not a known not-sent reason"
        );
    }

    #[test]
    fn the_first_example_of_a_kind_is_kept() {
        let mut failures = Failures::default();
        failures.add(FailureKind::Timeout, 1, None);
        failures.add(FailureKind::Timeout, 2, Some("first"));
        let mut later = Failures::default();
        later.add(FailureKind::Timeout, 4, Some("second"));
        failures.merge(&later);
        let seen: Vec<_> = failures.iter().collect();
        assert_eq!(seen, [(FailureKind::Timeout, &Seen { count: 7, example: Some("first".into()) })]);
    }
}
