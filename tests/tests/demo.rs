//! The demo, and what the programs print.

use std::path::Path;
use std::process::Command;

use fluxfleet_tests::fleet::Sim;
use fluxfleet_tests::process::{Process, fluxfleet, program};
use fluxfleet_tests::results::Results;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn is_picture(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() > 10_000)
}

#[test]
fn the_demo_compares_all_four_strategies_with_nothing_to_set_up() {
    let out = tempfile::tempdir().expect("a directory");
    let ended = fluxfleet(&["demo", "--requests", "8", "--out", text(out.path())]);
    ended.expect_code(0);
    let results = Results::read(out.path(), &ended);
    results.expect_sound_but(&[("batch", 2)]);
    for strategy in ["baseline", "model_pool", "batch", "async"] {
        results.expect_items(strategy, 8, 0, 0);
        results.check_quantiles(strategy);
        let entry = results.strategy(strategy);
        assert!(entry["avg_gpu_utilization"].as_f64() > Some(0.0), "{strategy} shows no GPU");
        assert!(entry["efficiency_score"].as_f64() > Some(0.0), "{strategy} has no score");
    }
    assert_eq!(results.workers().len(), 2);
    assert!(is_picture(&out.path().join("performance_comparison.png")));
    ended.expect_stdout(&[
        "Comparison of strategies",
        "Throughput",
        "P95 response",
        "GPU util",
        "Best strategy: ",
        "Change from the baseline:",
        "Verdict: ",
    ]);
    ended.expect_stderr(&[
        "a simulated inference host",
        "baseline: 8 items, 3 in flight",
        "cooling down for 2 s",
    ]);
    ended.expect_stderr(&["model_pool: 8 items, 5 in flight", "results.json", "performance_comparison.png"]);
    assert!(!ended.stdout.contains('\u{1b}') && !ended.stderr.contains('\u{1b}'), "colours in a pipe");
}

#[test]
fn the_demo_speaks_chinese_with_the_seeds_headings() {
    let out = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(program("fluxfleet"));
    command.args(["demo", "--requests", "4", "--strategies", "baseline", "batch", "--out", text(out.path())]);
    // By the locale this time; `--lang` is asked for below.
    command.env("LANG", "zh_CN.UTF-8");
    let ended = Process::spawn("fluxfleet", command).end();
    ended.expect_code(0);
    ended.expect_stdout(&[
        "📊 优化策略对比报告",
        "🏆 最佳策略: ",
        "效率分数: ",
        "📈 性能提升分析 (相对于基准):",
    ]);
    ended.expect_stdout(&[
        "策略",
        "吞吐量",
        "成功率",
        "平均响应时间",
        "P95响应时间",
        "GPU利用率",
        "效率分数",
    ]);
    ended.expect_stderr(&["📊 测试基准吞吐量: 4 请求, 3 并发", "📦 测试批量推理: 4 请求, 3 并发"]);
    assert!(!ended.stdout.contains("Best strategy"), "{}", ended.stdout);
    let results = Results::read(out.path(), &ended);
    results.expect_sound_but(&[("baseline", 4), ("batch", 1)]);
    assert!(is_picture(&out.path().join("performance_comparison.png")));
}

#[test]
fn a_quiet_demo_prints_the_report_and_nothing_else() {
    let out = tempfile::tempdir().expect("a directory");
    let args = ["demo", "--quiet", "--requests", "2", "--strategies", "baseline", "--lang", "zh"];
    let ended = fluxfleet(&[&args[..], &["--out", text(out.path())]].concat());
    ended.expect_code(0);
    assert_eq!(ended.stderr, "");
    let frame = "=".repeat(100);
    assert!(
        ended.stdout.starts_with(&frame) && ended.stdout.trim_end().ends_with(&frame),
        "{}",
        ended.stdout
    );
    ended.expect_stdout(&["📊 优化策略对比报告"]);
    assert!(is_picture(&out.path().join("performance_comparison.png")));
}

#[test]
fn a_quiet_run_prints_the_report_and_nothing_else() {
    let sim = Sim::start(&["--without", "/batch-generate"]);
    let args = ["run", "--quiet", "--requests", "3", "--strategies", "baseline,batch", "--cooldown", "0s"];
    let ended = fluxfleet(&[&args[..], &["--url", &sim.url]].concat());
    ended.expect_code(0);
    assert_eq!(ended.stderr, "");
    ended.expect_stdout(&["Comparison of strategies", "batch: skipped: "]);
}

#[test]
fn files_are_written_though_nobody_reads_the_report() {
    let out = tempfile::tempdir().expect("a directory");
    let args = ["demo", "--requests", "2", "--strategies", "baseline", "--out", text(out.path())];
    let ended = Process::start_unheard("fluxfleet", &args).end();
    ended.expect_code(0);
    Results::read(out.path(), &ended).expect_items("baseline", 2, 0, 0);
    assert!(is_picture(&out.path().join("performance_comparison.png")));
}

#[test]
fn without_save_and_plot_nothing_is_written_and_with_them_each_its_file() {
    let sim = Sim::start(&[]);
    for (flags, files) in [
        (&[][..], &[][..]),
        (&["--save"], &["results.json"]),
        (&["--plot"], &["performance_comparison.png"]),
        (&["--plot", "--save"], &["performance_comparison.png", "results.json"]),
    ] {
        let cwd = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(program("fluxfleet"));
        command.args(["run", "--url", &sim.url, "--requests", "2"]).args(flags).current_dir(cwd.path());
        let ended = Process::spawn("fluxfleet", command).end();
        ended.expect_code(0);
        let mut written: Vec<String> = Vec::new();
        // By default everything goes to results/<run-id>.
        for run in cwd.path().join("results").read_dir().into_iter().flatten().flatten() {
            for file in run.path().read_dir().expect("a directory").flatten() {
                written.push(file.file_name().into_string().expect("UTF-8"));
                ended.expect_stderr(&[text(&Path::new("results").join(run.file_name()))]);
            }
        }
        written.sort();
        assert_eq!(written, files, "{flags:?}");
        assert!(!files.is_empty() || cwd.path().read_dir().expect("a directory").next().is_none());
    }
}

#[test]
fn help_names_the_seeds_flags_with_their_defaults() {
    let ended = fluxfleet(&["--help"]);
    ended.expect_code(0);
    ended.expect_stdout(&["Usage: fluxfleet", "run", "demo", "sim"]);
    let ended = fluxfleet(&["run", "--help"]);
    ended.expect_code(0);
    ended.expect_stdout(&["--url <URL>", "http://localhost:8000", "--requests <N>", "[default: 20]"]);
    ended.expect_stdout(&["--concurrent <N>", "[default: 3]", "--strategies <NAME>", "[default: baseline]"]);
    ended.expect_stdout(&["baseline, model_pool, batch, async, all", "--plot", "--save"]);
    for args in [&["demo", "--help"][..], &["sim", "--help"], &["--version"]] {
        let ended = fluxfleet(args);
        ended.expect_code(0);
        ended.expect_stdout(&["fluxfleet"]);
        assert_eq!(ended.stderr, "");
    }
    for name in ["fluxfleet-worker", "fluxfleet-agent"] {
        let ended = Process::start(name, &["--help"]).end();
        ended.expect_code(0);
        ended.expect_stdout(&["--coordinator <HOST:PORT>", "Exit codes"]);
    }
}
