//! Why a simulated host could not run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Problem;

/// Why a simulated host could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The configuration cannot work; every problem is listed.
    #[error("the simulated host cannot be built: {}", join(.0))]
    Config(Vec<Problem>),
    /// Another process listens on the address.
    #[error(
        "cannot listen on {addr}: the port is taken; stop the process that has it or choose another port (0 picks a free one)"
    )]
    PortTaken {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The address cannot be bound for another reason.
    #[error("cannot listen on {addr}: {source}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The control file of the NVML stand-in cannot be written.
    #[error("cannot write the NVML control file {}: {source}", path.display())]
    Nvml {
        /// Where it was to be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The HTTP server failed while it ran.
    #[error("the simulated host on {addr} stopped serving: {source}")]
    Serve {
        /// The address it served on.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl SimError {
    pub(crate) fn from_bind(addr: SocketAddr, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::PortTaken { addr }
        } else {
            Self::Bind { addr, source }
        }
    }
}

fn join(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_configuration_names_every_problem() {
        let problem = |field, message: &str| Problem { field, message: message.into() };
        let error = SimError::Config(vec![
            problem("gpus", "is 0, but must be 1 to 64"),
            problem("jitter", "is 2, but must be 0 to 1"),
        ]);
        assert_eq!(
            error.to_string(),
            "the simulated host cannot be built: gpus is 0, but must be 1 to 64; jitter is 2, but must be 0 to 1"
        );
    }
}
