//! How the program ends.

use std::process::ExitCode;

/// Exit codes, as the design page documents them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The run is done and its verdict stands.
    Done,
    /// A fault of the program or the machine.
    Internal,
    /// Bad plan or flags.
    BadPlan,
    /// Target unreachable, or no strategy usable.
    NoTarget,
    /// The run is invalid.
    Invalid,
    /// The fleet did not assemble.
    NoFleet,
    /// The user stopped it; a partial report is written.
    Interrupted,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Internal => 1,
            Self::BadPlan => 2,
            Self::NoTarget => 3,
            Self::Invalid => 5,
            Self::NoFleet => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
