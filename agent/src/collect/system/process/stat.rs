//! What the kernel tells of a process: `/proc/PID/stat` and `/proc/PID/cmdline`.

/// One process at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Who started it, or took it over.
    pub(super) parent: u32,
    /// Ended, and only not yet asked for by its parent.
    pub(super) ended: bool,
    /// A thread of the kernel's, which has no command line.
    pub(super) kernel: bool,
    /// Processor time, its own and that of its children that have ended and were asked for, in clock ticks.
    pub(super) ticks: u64,
    /// When it started, in clock ticks. With the number it makes a process that is not mistaken for a later one.
    pub(super) started: u64,
    /// Resident memory, in pages.
    pub(super) pages: u64,
}

/// `PF_KTHREAD` of the kernel's `sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// A name in parentheses, which may itself hold any, and numbers after it. `None`: it is not so.
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
pub(super) fn parse(text: &[u8]) -> Option<(&[u8], Stat)> {
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let name = text.get(open + 1..close)?;
    let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
    // Its last number has more behind it, or might be cut.
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let mut next = |skipped: usize| fields.nth(skipped)?.parse::<u64>().ok();
    let flags = next(4)?;
    let [user, system, of_children, system_of_children] = [next(4)?, next(0)?, next(0)?, next(0)?];
    let started = next(4)?;
    let pages = next(1)?;
    next(0)?;
    let ticks = [user, system, of_children, system_of_children].into_iter().try_fold(0, u64::checked_add)?;
    let ended = matches!(state, "Z" | "X" | "x");
    Some((name, Stat { parent, ended, kernel: flags & KERNEL_THREAD != 0, ticks, started, pages }))
}

/// The program's name of a command line, whose words end with zeros: the first, without directories.
pub(super) fn program(command_line: &[u8]) -> &[u8] {
    let first = command_line.split(|b| *b == 0).next().unwrap_or_default();
    first.rsplit(|b| *b == b'/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: &str = "1417 (sh) S 1402 1417 1402 34816 1417 4194304 1234 5678 1 2 150 30 700 120 20 0 1 0 88123 \
        2895872 412 18446744073709551615 94190563352576 94190563456789 140722 0 0 0 0 0 65538 1 0 0 17 1 0 0 0 0 0\n";

    #[test]
    fn a_process_is_read() {
        let (name, stat) = parse(SHELL.as_bytes()).unwrap();
        assert_eq!(name, b"sh");
        let expected =
            Stat { parent: 1402, ended: false, kernel: false, ticks: 1000, started: 88123, pages: 412 };
        assert_eq!(stat, expected);
    }

    #[test]
    fn kernel_threads_and_ended_processes_are_told_apart() {
        let kernel =
            "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 3 0 0 20 0 1 0 1 0 0 18446744073709551615 0";
        let (_, stat) = parse(kernel.as_bytes()).unwrap();
        assert!(stat.kernel && !stat.ended);
        let (_, stat) = parse(SHELL.replace(") S", ") Z").as_bytes()).unwrap();
        assert!(stat.ended && !stat.kernel);
    }

    #[test]
    fn a_name_may_hold_anything() {
        for name in ["a) S 1 (b", "tmux: server", "", "x\ny"] {
            let text = SHELL.replace("(sh)", &format!("({name})"));
            assert_eq!(parse(text.as_bytes()).unwrap().0, name.as_bytes());
        }
        let bytes = [b"7 (\xff\xfe) ", &SHELL.as_bytes()[10..]].concat();
        assert_eq!(parse(&bytes).unwrap().0, b"\xff\xfe");
    }

    #[test]
    fn a_text_that_is_cut_is_none() {
        let whole = SHELL.find(" 18446744073709551615").unwrap();
        for cut in 0..=whole {
            assert_eq!(parse(&SHELL.as_bytes()[..cut]), None, "{}", &SHELL[..cut]);
        }
        assert_eq!(parse(SHELL.replace(" 150 ", " -1 ").as_bytes()), None);
        assert_eq!(parse(b")("), None);
    }

    #[test]
    fn a_program_is_named_by_the_first_word_without_directories() {
        for (line, name) in [
            (&b"/usr/bin/python3\0-m\0vllm\0"[..], &b"python3"[..]),
            (b"vllm", b"vllm"),
            (b"\0x", b""),
            (b"", b""),
            (b"/opt/my server/run\0/x", b"run"),
        ] {
            assert_eq!(program(line), name);
        }
    }
}
