//! How workers and agents introduce themselves.

use std::collections::BTreeMap;

use crate::id::{RunId, SessionId};
use crate::reading::{Absence, Device};

/// A worker's greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerHello {
    /// The protocol it speaks.
    pub protocol_version: u32,
    /// Unique within a fleet; never empty.
    pub name: String,
    /// Host name of its machine.
    pub host: String,
    /// Release of the program.
    pub software_version: String,
    /// Load-generating threads, at least 1.
    pub threads: u32,
    /// Cores that the machine offers to the process.
    pub cores: u32,
    /// Free-form labels given by the user.
    pub labels: BTreeMap<String, String>,
}

/// An agent's greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentHello {
    /// The protocol it speaks.
    pub protocol_version: u32,
    /// Host name; unique among the fleet's agents; never empty.
    pub host: String,
    /// Release of the program.
    pub software_version: String,
    /// The host's GPUs, or why they cannot be seen. An empty list: there are none.
    pub devices: Result<Vec<Device>, Absence>,
    /// Its process.
    pub session: SessionId,
    /// The run it takes part in, when its stream broke and it comes back.
    pub run: Option<RunId>,
}
