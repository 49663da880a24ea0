//! The report as Markdown. Every figure in it comes from the report; nothing is measured here.

use super::bars::bars;
use super::report::{Method, Missing, Pacing, Pairing, Report};
use super::show::{Show, spread, table};
use crate::in_flight::FEW;
use crate::tools::Tool;
use crate::tools::invoke::OPEN_CONNECTIONS;

/// Renders the whole document.
pub fn render(report: &Report) -> String {
    let sections = [
        head(report),
        bars(report),
        pacing(report),
        throughput(report),
        scaling(report),
        memory(report),
        missing(report),
        method(&report.method),
    ];
    let mut text = sections.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join("\n");
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn head(report: &Report) -> String {
    let m = &report.machine;
    let commit = m.commit.as_deref().unwrap_or("not a checkout");
    let tools =
        report.tools.iter().map(|t| format!("{} {}", t.name, t.version)).collect::<Vec<_>>().join(", ");
    let small = if report.method.quick {
        "\nThis is the small version: few and short turns, to see that everything runs. Its figures prove nothing.\n"
    } else {
        ""
    };
    format!(
        "# The generator beside its peers\n\n\
         Written by `fluxfleet-bench compare` from what it measured; not to be edited. `bench/run` measures again.\n{small}\n\
         | | |\n|---|---|\n\
         | date | {} |\n| fluxfleet | commit {commit} |\n| processor | {}, {} cores |\n| memory | {} GiB |\n\
         | system | {} |\n| virtualisation | {} |\n| load before (1, 5, 15 min) | {} |\n| generators | {tools} |\n\
         | turns | {} of {} s each, in turns (A B C A B C ..) |\n\n\
         A figure is the median of its turns, with the smallest and the largest behind it.\n",
        m.date,
        m.processor,
        m.cores,
        m.memory_gib,
        m.kernel,
        m.virtualisation,
        m.load,
        report.method.turns,
        report.method.turn_s,
    )
}

fn pacing(report: &Report) -> String {
    if report.pacing.is_empty() {
        return String::new();
    }
    let mut text = "## Send punctuality: arrivals off the ideal grid, as the server saw them\n".to_owned();
    for rate in report.rates() {
        let rows = report.pacing.iter().filter(|r| r.rate == rate).map(|r| {
            vec![
                r.tool.name().to_owned(),
                spread(&r.p99_us, Show::Whole("")),
                spread(&r.p50_us, Show::Whole("")),
                spread(&r.max_us, Show::Whole("")),
                spread(&r.gap_p99_us, Show::Whole("")),
                spread(&r.arrived, Show::Percent),
                core(r),
            ]
        });
        let columns = ["", "p99, us", "p50, us", "most, us", "gap p99, us", "arrived", "of a core"];
        text.extend([format!("\n### {rate} requests/s\n\n"), table(&columns, rows)]);
    }
    if report.pacing.iter().any(|r| !r.coordinator_core.0.is_empty()) {
        text.push_str(
            "\nfluxfleet's share of a core is the worker's, with the coordinator's behind the plus.\n",
        );
    }
    text
}

fn core(row: &Pacing) -> String {
    let own = spread(&row.core, Show::Percent);
    match row.coordinator_core.median() {
        Some(coordinator) => format!("{own} + {}", Show::Percent.of(coordinator)),
        None => own,
    }
}

fn throughput(report: &Report) -> String {
    if report.throughput.is_empty() {
        return String::new();
    }
    let ours = report.throughput.iter().find(|r| r.tool == Tool::Fluxfleet).and_then(|r| r.rate.median());
    let rows = report.throughput.iter().map(|r| {
        let ratio = ours.zip(r.rate.median()).map_or_else(|| "-".to_owned(), |(o, t)| Show::Times.of(o / t));
        vec![
            r.tool.name().to_owned(),
            spread(&r.rate, Show::Whole("")),
            spread(&r.to_wrk, Show::Times),
            ratio,
            spread(&r.cpu_us, Show::Hundredths),
            spread(&r.core, Show::Percent),
            spread(&r.server_core, Show::Percent),
            spread(&r.claimed, Show::Whole("")),
        ]
    });
    let columns = [
        "",
        "requests/s",
        "for each of wrk's",
        "fluxfleet for each of its",
        "us of processor each",
        "of its core",
        "server, of its core",
        "requests/s it claims",
    ];
    format!("## Throughput of one core, closed loop\n\n{}", table(&columns, rows))
}

fn scaling(report: &Report) -> String {
    if report.scaling.is_empty() {
        return String::new();
    }
    let rows = report.scaling.iter().map(|r| {
        let what = match r.what {
            Pairing::Threads(tool) => format!("{}: one process, a thread for each core", tool.name()),
            Pairing::Apart(tool) => format!("control, {}: a process and a server for each core", tool.name()),
        };
        vec![
            what,
            spread(&r.one, Show::Whole("")),
            spread(&r.two, Show::Whole("")),
            spread(&r.ratio, Show::Times),
            spread(&r.one_cpu_us, Show::Hundredths),
            spread(&r.two_cpu_us, Show::Hundredths),
        ]
    });
    let columns = [
        "",
        "requests/s, one core",
        "two cores",
        "two for each of one",
        "us of processor each, one core",
        "two cores",
    ];
    format!(
        "## Two cores beside one\n\n{}\n\
         Every core that is used holds one load thread and one server thread, and a request need not cross cores, so these\n\
         rates do not compare with those above. The processor time is generator and server together. The control shows what\n\
         the machine gives when nothing is shared; no generator can be expected to scale better than that.\n",
        table(&columns, rows)
    )
}

fn memory(report: &Report) -> String {
    let Some(first) = report.memory.first() else { return String::new() };
    let rows = report.memory.iter().map(|r| {
        vec![
            r.tool.name().to_owned(),
            spread(&r.each_kb, Show::Tenths("")),
            spread(&r.few_kb, Show::Whole("")),
            spread(&r.many_kb, Show::Whole("")),
        ]
    });
    let many = format!("resident with {}, kB", first.requests);
    let columns = ["", "kB each", &format!("resident with {FEW}, kB"), &many];
    format!("## Memory per request in flight, {} of them\n\n{}", first.requests, table(&columns, rows))
}

fn missing(report: &Report) -> String {
    let list = |title: &str, missing: &[Missing]| {
        let lines: Vec<_> = missing.iter().map(|m| format!("- {}: {}\n", m.what, m.why)).collect();
        if lines.is_empty() { String::new() } else { format!("## {title}\n\n{}", lines.concat()) }
    };
    let lists = [list("Not measured", &report.absent), list("Failed", &report.failed)];
    lists.into_iter().filter(|l| !l.is_empty()).collect::<Vec<_>>().join("\n")
}

fn method(method: &Method) -> String {
    let placement = if method.pinned {
        "The generator, with everything that belongs to it, is pinned to one core and the server to another."
    } else {
        "Nothing was pinned: generator and server shared what the system gave them, and figures of one core are not."
    };
    include_str!("method.md")
        .replace("{placement}", placement)
        .replace("{connections}", &super::throughput::CONNECTIONS.to_string())
        .replace("{open_connections}", &OPEN_CONNECTIONS.to_string())
        .replace("{few}", &FEW.to_string())
        .replace("{delay}", &super::memory::DELAY.as_secs().to_string())
        .replace("{body}", &crate::generate::BODY.len().to_string())
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
