//! Whether an agent is there. Pure.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;

/// An agent that is away for longer than this is lost. As long as it keeps what it samples meanwhile.
pub const MAX_AWAY: Duration = Duration::from_secs(600);

/// Whether an agent is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    #[default]
    Here,
    /// Its stream broke or is silent. It may come back.
    Away {
        /// When it was last heard.
        since: Mono,
        /// What was seen, for people.
        why: String,
    },
    /// It is there again, and hands in what it sampled meanwhile.
    Back {
        /// For how long it was away.
        away: Duration,
        /// When it was heard again.
        at: Mono,
        /// Samples taken before that and received since.
        late: u64,
    },
}

impl Presence {
    /// Notes that it went; `false` when that was known.
    pub fn leave(&mut self, why: &str, heard: Mono) -> bool {
        let news = !self.is_away();
        if news {
            *self = Self::Away { since: heard, why: why.to_owned() };
        }
        news
    }

    /// Notes a sign of life; nothing new of one that is there.
    pub fn hear(&mut self, now: Mono) {
        if let Self::Away { since, .. } = self {
            *self = Self::Back { away: now.since(*since), at: now, late: 0 };
        }
    }

    /// Counts a sample taken at an instant of our clock. With the first that was taken after it came back it is
    /// there as before.
    pub fn sampled(&mut self, taken: Mono) -> Option<Return> {
        let Self::Back { at, late, .. } = self else { return None };
        if taken < *at {
            *late += 1;
            return None;
        }
        self.arrive()
    }

    /// How it came back, told once: it is there as before.
    pub fn arrive(&mut self) -> Option<Return> {
        let Self::Back { away, late, .. } = *self else { return None };
        *self = Self::Here;
        Some(Return { away, late })
    }

    /// Whether it is away.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// Whether it is away for too long, and why it went.
    pub fn given_up(&self, now: Mono) -> Option<&str> {
        match self {
            Self::Away { since, why } if now.since(*since) > MAX_AWAY => Some(why),
            _ => None,
        }
    }
}

/// How an agent came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    /// For how long it was away.
    pub away: Duration,
    /// Samples taken meanwhile and received since.
    pub late: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Mono {
        Mono::from_nanos(s * 1_000_000_000)
    }

    #[test]
    fn an_agent_that_comes_back_is_there_when_its_samples_are_up_to_date() {
        let mut presence = Presence::Here;
        assert!(presence.leave("cut", at(10)));
        assert!(!presence.leave("again", at(12)));
        presence.hear(at(71));
        assert_eq!(presence.sampled(at(11)), None);
        assert_eq!(presence.sampled(at(70)), None);
        assert_eq!(presence.sampled(at(71)), Some(Return { away: Duration::from_secs(61), late: 2 }));
        assert_eq!(presence, Presence::Here);
        presence.hear(at(72));
        assert_eq!((presence.sampled(at(72)), presence.arrive()), (None, None));
    }

    #[test]
    fn one_that_goes_again_before_that_is_away_again() {
        let mut presence = Presence::Here;
        presence.leave("cut", at(10));
        presence.hear(at(20));
        assert!(presence.leave("cut", at(21)));
        presence.hear(at(30));
        assert_eq!(presence.arrive(), Some(Return { away: Duration::from_secs(9), late: 0 }));
    }

    #[test]
    fn one_that_is_away_for_more_than_ten_minutes_is_given_up() {
        let mut presence = Presence::Here;
        assert_eq!(presence.given_up(at(9999)), None);
        presence.leave("cut", at(10));
        assert_eq!(presence.given_up(at(610)), None);
        assert_eq!(presence.given_up(at(611)), Some("cut"));
    }
}
