//! The states of an asynchronous job.

/// What a state means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The item is there.
    Done,
    /// It will never be.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Not yet. So is every state that nobody here knows: a job that stays in one runs into its timeout, whose
    /// text shows the state.
    Pending,
}

const DONE: [&str; 6] = ["completed", "complete", "succeeded", "success", "ready", "done"];
const FAILED: [&str; 5] = ["failed", "failure", "error", "timed_out", "aborted"];
const CANCELLED: [&str; 2] = ["cancelled", "canceled"];

impl State {
    /// Reads a state; case does not matter.
    pub(crate) fn of(name: &str) -> Self {
        let one_of = |set: &[&str]| set.iter().any(|s| s.eq_ignore_ascii_case(name));
        match () {
            () if one_of(&DONE) => Self::Done,
            () if one_of(&FAILED) => Self::Failed,
            () if one_of(&CANCELLED) => Self::Cancelled,
            () => Self::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_of_known_services_are_understood() {
        for (name, state) in [
            ("COMPLETED", State::Done),
            ("Ready", State::Done),
            ("TIMED_OUT", State::Failed),
            ("canceled", State::Cancelled),
            ("IN_QUEUE", State::Pending),
            ("processing", State::Pending),
            ("", State::Pending),
        ] {
            assert_eq!(State::of(name), state, "{name}");
        }
    }
}
