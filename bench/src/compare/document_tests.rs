use super::*;
use crate::compare::machine::Machine;
use crate::compare::report::{Memory, Scaling, Throughput, Turns, Version};

fn turns(values: &[f64]) -> Turns {
    Turns(values.to_vec())
}

fn report(quick: bool) -> Report {
    Report {
        machine: Machine {
            processor: "Some CPU @ 3 GHz".to_owned(),
            cores: 2,
            memory_gib: 24,
            kernel: "linux 6.1.0, x86_64".to_owned(),
            virtualisation: "none that can be seen".to_owned(),
            load: "0.06, 0.76, 1.06".to_owned(),
            date: "2026-01-31".to_owned(),
            commit: Some("0123abc".to_owned()),
        },
        method: Method { turns: 3, turn_s: 5, pinned: true, quick },
        tools: vec![
            Version { name: "fluxfleet".to_owned(), version: "0.1.0".to_owned() },
            Version { name: "wrk".to_owned(), version: "4.1.0".to_owned() },
        ],
        absent: Vec::new(),
        failed: Vec::new(),
        pacing: Vec::new(),
        throughput: Vec::new(),
        scaling: Vec::new(),
        memory: Vec::new(),
    }
}

fn pacing(tool: Tool, rate: u32, p99: &[f64], coordinator: &[f64]) -> Pacing {
    Pacing {
        tool,
        rate,
        p50_us: turns(&[9.0, 8.0, 10.0]),
        p99_us: turns(p99),
        max_us: turns(&[1234.0, 900.0, 5000.0]),
        gap_p99_us: turns(&[1050.0, 1040.0, 1060.0]),
        arrived: turns(&[1.0, 0.9, 1.0]),
        core: turns(&[0.03, 0.02, 0.04]),
        coordinator_core: turns(coordinator),
    }
}

fn throughput(tool: Tool, rate: f64, to_wrk: f64) -> Throughput {
    Throughput {
        tool,
        rate: turns(&[rate, rate - 1000.0, rate + 1000.0]),
        claimed: turns(&[rate, rate, rate]),
        cpu_us: turns(&[6.5, 6.25, 6.75]),
        core: turns(&[0.99, 0.98, 1.0]),
        server_core: turns(&[0.7, 0.6, 0.8]),
        to_wrk: turns(&[to_wrk, to_wrk, to_wrk]),
    }
}

#[test]
fn a_whole_comparison() {
    let mut report = report(false);
    report.absent = vec![Missing { what: "k6".to_owned(), why: "`k6` was found nowhere".to_owned() }];
    report.failed =
        vec![Missing { what: "hey at 1000/s".to_owned(), why: "it ended with exit status: 1".to_owned() }];
    report.pacing = vec![
        pacing(Tool::Fluxfleet, 1_000, &[61.0, 58.0, 70.0], &[0.01, 0.01, 0.01]),
        pacing(Tool::Oha, 1_000, &[1087.0, 1000.0, 1100.0], &[]),
        pacing(Tool::Fluxfleet, 30_000, &[143.0, 90.0, 170.0], &[0.02, 0.02, 0.02]),
        pacing(Tool::Sockets, 30_000, &[81.0, 40.0, 90.0], &[]),
    ];
    report.throughput = vec![
        throughput(Tool::Fluxfleet, 135_000.0, 1.15),
        throughput(Tool::Wrk, 117_400.0, 1.0),
        throughput(Tool::Reqwest, 65_000.0, 0.55),
        throughput(Tool::Sockets, 157_000.0, 1.34),
    ];
    report.scaling = vec![
        Scaling {
            what: Pairing::Threads(Tool::FluxfleetEngine),
            one: turns(&[80_000.0]),
            two: turns(&[140_000.0]),
            ratio: turns(&[1.75]),
            one_cpu_us: turns(&[12.5]),
            two_cpu_us: turns(&[14.25]),
        },
        Scaling {
            what: Pairing::Apart(Tool::FluxfleetEngine),
            one: turns(&[80_000.0]),
            two: turns(&[158_000.0]),
            ratio: turns(&[1.975]),
            one_cpu_us: turns(&[12.5]),
            two_cpu_us: turns(&[12.75]),
        },
    ];
    report.memory = vec![Memory {
        tool: Tool::Fluxfleet,
        requests: 15_000,
        few_kb: turns(&[10_000.0]),
        many_kb: turns(&[150_000.0]),
        each_kb: turns(&[9.4]),
    }];
    insta::assert_snapshot!(render(&report));
}

#[test]
fn the_small_version_says_so_and_shows_no_empty_tables() {
    let mut report = report(true);
    report.throughput = vec![throughput(Tool::Fluxfleet, 135_000.0, 1.15)];
    let text = render(&report);
    let (text, _) = text.split_once("## Method").expect("the method is always told");
    insta::assert_snapshot!(text);
}
