//! Live readings in a terminal, and where there is none.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use fluxfleet_agent::GpuSource;
use fluxfleet_agent::testing::{ScriptedCollector, device};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio_util::sync::CancellationToken;

fn top() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fluxfleet-agent"));
    command.args(["top", "--nvml-lib", "/nonexistent/nvml.so"]).env_remove("RUST_LOG").env("TERM", "xterm");
    command
}

/// The program on a terminal of its own, and the other end of that.
fn on_a_terminal() -> (Child, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).expect("a terminal of ours");
    unlockpt(&ours).expect("a terminal that opens");
    let name = ptsname(&ours, Vec::new()).expect("its name").into_string().expect("UTF-8");
    let theirs = || File::options().read(true).write(true).open(&name).expect("its other end");
    let child = top().stdin(theirs()).stdout(theirs()).stderr(Stdio::null()).spawn().expect("a program");
    (child, File::from(ours))
}

/// Reads until the text has come so many times.
fn read_until(terminal: &mut File, text: &str, times: usize) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let so_far = String::from_utf8_lossy(&all).into_owned();
        if so_far.matches(text).count() >= times {
            return so_far;
        }
        let n = terminal.read(&mut buffer).unwrap_or(0);
        assert!(n > 0, "{text} never came; there was\n{so_far}");
        all.extend_from_slice(&buffer[..n]);
    }
}

#[tokio::test]
async fn the_newest_readings_are_drawn_again_and_again() {
    let cancel = CancellationToken::new();
    let mut frames = Vec::new();
    let draw = |host| {
        frames.push(fluxfleet_top::frame("title", &[host]));
        if frames.len() == 3 {
            cancel.cancel();
        }
        Ok(())
    };
    let gpus = GpuSource::Custom(Box::new(ScriptedCollector::new(Ok(vec![device("GPU-a")]))));
    fluxfleet_agent::top("gpu-1".to_owned(), gpus, draw, cancel.clone()).await.unwrap().unwrap();
    let last = frames.pop().unwrap();
    for text in [
        "gpu-1   cpu ",
        "Scripted GPU",
        "75 %",
        "5.6 of 7.5 GiB",
        "250.5",
        "61 C",
        "1410 MHz",
        "sw_power_cap",
    ] {
        assert!(last.contains(text), "{text} is not in\n{last}");
    }
}

#[test]
fn on_a_terminal_it_redraws_in_place_until_q() {
    let (mut child, mut terminal) = on_a_terminal();
    let text = read_until(&mut terminal, "fluxfleet-agent top   q ends", 2);
    assert!(text.starts_with("\u{1b}[2J\u{1b}[H"), "{text:?}");
    assert!(text.contains("GPUs cannot be read: unsupported: no NVML library"), "{text:?}");
    assert!(!text.contains("\u{1b}[3") && !text.contains("\u{1b}[1m"), "no colours: {text:?}");
    terminal.write_all(b"q").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn where_there_is_no_terminal_it_writes_a_block_each_second_until_it_is_interrupted() {
    let mut child = top().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let blocks: Vec<String> = lines.by_ref().take(8).collect();
    assert_eq!(blocks.iter().filter(|line| *line == "fluxfleet-agent top   Ctrl-C ends").count(), 2);
    assert!(blocks.iter().all(|line| !line.contains('\u{1b}')), "{blocks:?}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn it_ends_when_nobody_reads_it_any_more() {
    let mut child = top().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
