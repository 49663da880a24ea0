//! What a gRPC status means for the agent.

use tonic::{Code, Status};

use super::dial::innermost;

/// What a status means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The coordinator does not want this agent; its words.
    Refused(String),
    /// Whoever answers does not speak this protocol; what it said.
    NoCoordinator(String),
    /// The connection is gone; why.
    Broken(String),
}

/// Reads a status that ended a stream; `welcomed` when the coordinator had taken the agent in.
pub(super) fn meaning(status: &Status, welcomed: bool) -> Meaning {
    let said = || {
        let cause = std::error::Error::source(status).map(innermost);
        cause.unwrap_or_else(|| match status.message() {
            "" => status.code().description().to_owned(),
            message => message.to_owned(),
        })
    };
    match status.code() {
        // What the protocol names, and what an authenticating proxy or a full coordinator would say.
        Code::FailedPrecondition
        | Code::AlreadyExists
        | Code::InvalidArgument
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::ResourceExhausted => Meaning::Refused(said()),
        Code::Unimplemented => Meaning::NoCoordinator(said()),
        // tonic's codes for an answer that is no gRPC at all.
        Code::Internal | Code::Unknown if !welcomed => Meaning::NoCoordinator(said()),
        _ => Meaning::Broken(said()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_carry_the_coordinators_words() {
        let refused = |status: Status| meaning(&status, false);
        assert_eq!(
            refused(Status::already_exists("host a is taken")),
            Meaning::Refused("host a is taken".to_owned())
        );
        assert_eq!(
            refused(Status::failed_precondition("protocol 1, not 2")),
            Meaning::Refused("protocol 1, not 2".to_owned())
        );
    }

    #[test]
    fn an_answer_that_is_no_grpc_is_no_coordinator_until_one_was_there() {
        let status = Status::internal("h2 protocol error");
        assert_eq!(meaning(&status, false), Meaning::NoCoordinator("h2 protocol error".to_owned()));
        assert_eq!(meaning(&status, true), Meaning::Broken("h2 protocol error".to_owned()));
    }

    #[test]
    fn a_status_without_words_is_described() {
        let Meaning::Broken(words) = meaning(&Status::unavailable(""), true) else {
            panic!("an unavailable coordinator is a broken stream");
        };
        assert!(!words.is_empty());
    }
}
