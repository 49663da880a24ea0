//! Which processes are watched, without looking at every one each time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::reading::Absence;
use rustix::io::Errno;

use super::stat::{self, Stat};
use super::usage::{Group, Member};
use crate::collect::system::files::{Odd, Proc, unreadable};
use crate::config::Watched;

/// How often all processes are looked at. In between only new ones and watched ones are: to look at a thousand takes
/// twenty milliseconds.
const ALL_EVERY: Duration = Duration::from_secs(60);

/// How long a process is new: a script that prepares something first becomes the service it starts within this.
const NEW_FOR: Duration = Duration::from_secs(60);

/// Bytes of a file that are looked at: all of `stat`, and of a command line its first word.
const LOOKED_AT: usize = 4096;

/// All processes, as far as they were looked at.
#[derive(Debug)]
pub(super) struct Table {
    proc: Proc,
    watched: Vec<Watched>,
    /// Those that were there the last time, in order.
    listed: Vec<u32>,
    known: BTreeMap<u32, Known>,
    /// When those that are watched by number started: a later one of the same number is another.
    pinned: BTreeMap<u32, u64>,
    all_at: Option<Mono>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    stat: Stat,
    /// It is one that was asked for itself, not for an ancestor.
    chosen: bool,
    /// It was in the group the last time.
    in_group: bool,
    /// Until when it is new.
    new_until: Mono,
    /// It was looked at again after it was new, and is unlikely to become another program.
    settled: bool,
}

/// The watched processes.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) group: Group,
    /// Why some other process could not be looked at, which may be one that was asked for.
    pub(super) hidden: Option<Absence>,
}

impl Table {
    pub(super) fn new(proc: Proc, watched: Vec<Watched>) -> Self {
        Self {
            proc,
            watched,
            listed: Vec::new(),
            known: BTreeMap::new(),
            pinned: BTreeMap::new(),
            all_at: None,
        }
    }

    /// Whether there was a process of this number the last time.
    pub(super) fn lives(&self, pid: u32) -> bool {
        self.listed.binary_search(&pid).is_ok()
    }

    /// Those that were asked for and are there, with their children and children's children.
    ///
    /// # Errors
    /// When processes cannot be listed, and when one that was watched is there and cannot be read any more.
    pub(super) fn find(&mut self, now: Mono) -> Result<Found, Absence> {
        let listed = self.list()?;
        let before = std::mem::replace(&mut self.listed, listed.clone());
        let all = self.all_at.is_none_or(|at| now.since(at) >= ALL_EVERY);
        // Those of the first look have mostly been there for long.
        let new_until = now + if self.all_at.is_none() { Duration::ZERO } else { NEW_FOR };
        if all {
            self.all_at = Some(now);
        }
        self.known.retain(|pid, _| listed.binary_search(pid).is_ok());
        let (mut born, mut hidden, mut lost) = (BTreeSet::new(), None, None);
        let mut buffer = [0; LOOKED_AT];
        for pid in listed {
            let old = self.known.get(&pid).copied();
            if old.is_some_and(|old| old.settled && !old.in_group && !all) {
                continue;
            }
            match self.look(pid, &mut buffer) {
                Ok(Some((stat, chosen))) => {
                    let old = old.filter(|old| old.stat.started == stat.started);
                    if before.binary_search(&pid).is_err() || (old.is_none() && self.known.contains_key(&pid))
                    {
                        born.insert(pid);
                    }
                    let in_group = old.is_some_and(|old| old.in_group);
                    let settled = old.is_some_and(|old| old.new_until <= now);
                    let new_until = old.map_or(new_until, |old| old.new_until);
                    self.known.insert(pid, Known { stat, chosen, in_group, new_until, settled });
                }
                Ok(None) => {
                    self.known.remove(&pid);
                    self.listed.retain(|listed| *listed != pid);
                }
                Err(absence) if old.is_some_and(|old| old.in_group) => lost = Some(absence),
                Err(absence) => hidden = hidden.or(Some(absence)),
            }
        }
        if let Some(absence) = lost {
            return Err(absence);
        }
        self.gather();
        let group = self.known.iter().filter(|(_, known)| known.in_group);
        let group = group.map(|(pid, known)| (*pid, Member { stat: known.stat, born: born.contains(pid) }));
        Ok(Found { group: group.collect(), hidden })
    }

    /// Numbers of all processes, in order.
    fn list(&self) -> Result<Vec<u32>, Absence> {
        let dir = self.proc.path("");
        let entries = fs::read_dir(&dir).map_err(|error| unreadable(&dir, &error))?;
        let number = |entry: io::Result<fs::DirEntry>| match entry {
            Ok(entry) => entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Ok),
            Err(error) => Some(Err(unreadable(&dir, &error))),
        };
        let mut all = entries.filter_map(number).collect::<Result<Vec<u32>, _>>()?;
        all.sort_unstable();
        Ok(all)
    }

    /// One process, and whether it was asked for. `None`: it is gone.
    fn look(&mut self, pid: u32, buffer: &mut [u8]) -> Result<Option<(Stat, bool)>, Absence> {
        let Some(text) = self.start_of(pid, "stat", buffer)? else { return Ok(None) };
        let path = || self.proc.path(&format!("{pid}/stat"));
        let (name, stat) =
            stat::parse(text).ok_or_else(|| Odd::garbled("is not what is told of a process").of(&path()))?;
        let by_name =
            |wanted: &Watched, name: &[u8]| matches!(wanted, Watched::Name(n) if n.as_bytes() == name);
        if self.watched.contains(&Watched::Pid(pid))
            && *self.pinned.entry(pid).or_insert(stat.started) == stat.started
            || self.watched.iter().any(|wanted| by_name(wanted, name))
        {
            return Ok(Some((stat, true)));
        }
        let names = self.watched.iter().any(|wanted| matches!(wanted, Watched::Name(_)));
        if !names || stat.kernel || stat.ended {
            return Ok(Some((stat, false)));
        }
        let Some(line) = self.start_of(pid, "cmdline", buffer)? else { return Ok(None) };
        let program = stat::program(line);
        Ok(Some((stat, self.watched.iter().any(|wanted| by_name(wanted, program)))))
    }

    /// The first bytes of a process's file, into the buffer. `None`: the process is gone.
    fn start_of<'b>(&self, pid: u32, file: &str, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, Absence> {
        let path = self.proc.path(&format!("{pid}/{file}"));
        match File::open(&path).and_then(|mut file| file.read(buffer)) {
            Ok(length) => Ok(Some(&buffer[..length])),
            Err(error) if gone(&error) => Ok(None),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    /// Marks who is in the group: the chosen ones, and whoever has a parent in it.
    fn gather(&mut self) {
        let mut group: BTreeSet<u32> =
            self.known.iter().filter(|(_, known)| known.chosen).map(|(pid, _)| *pid).collect();
        let mut grows = !group.is_empty();
        while grows {
            let before = group.len();
            let children = self.known.iter().filter(|(_, known)| group.contains(&known.stat.parent));
            let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
            group.extend(children);
            grows = group.len() > before;
        }
        for (pid, known) in &mut self.known {
            known.in_group = group.contains(pid);
        }
    }
}

fn gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}
