use unicode_width::UnicodeWidthStr as _;

use super::*;
use crate::analysis::testing::{
    RunSketch, Sketch, gone_run, gpu_run, limited_run, open_run, remote_run, seed_run, stopped_run,
    troubled_run,
};
use crate::analysis::{ScoreSettings, analyse};

fn shown(run: RunSketch, lang: Lang) -> String {
    render(&analyse(&run.done(), &ScoreSettings::default()), lang, false)
}

#[test]
fn a_run_as_in_the_seed_tools_example_in_chinese() {
    insta::assert_snapshot!(shown(seed_run(), Lang::Zh));
}

#[test]
fn a_run_as_in_the_seed_tools_example_in_english() {
    insta::assert_snapshot!(shown(seed_run(), Lang::En));
}

#[test]
fn failed_and_skipped_strategies_and_a_lost_worker_in_english() {
    insta::assert_snapshot!(shown(troubled_run(), Lang::En));
}

#[test]
fn failed_and_skipped_strategies_and_a_lost_worker_in_chinese() {
    insta::assert_snapshot!(shown(troubled_run(), Lang::Zh));
}

#[test]
fn a_stopped_run_in_english() {
    insta::assert_snapshot!(shown(stopped_run(), Lang::En));
}

#[test]
fn a_stopped_run_in_chinese() {
    insta::assert_snapshot!(shown(stopped_run(), Lang::Zh));
}

#[test]
fn a_run_without_gpu_readings_whose_score_saturates() {
    insta::assert_snapshot!(shown(remote_run(), Lang::En));
}

#[test]
fn a_single_strategy_on_a_host_without_gpu() {
    let run = RunSketch::new().without_gpus().ran(Sketch::new("model_pool", 0.4, 7.5, 0.0));
    insta::assert_snapshot!(shown(run, Lang::Zh));
}

#[test]
fn an_open_load_that_one_strategy_does_not_keep_up_with_in_english() {
    insta::assert_snapshot!(shown(open_run(), Lang::En));
}

#[test]
fn an_open_load_that_one_strategy_does_not_keep_up_with_in_chinese() {
    insta::assert_snapshot!(shown(open_run(), Lang::Zh));
}

#[test]
fn a_closed_load_at_its_generators_limit_in_english() {
    insta::assert_snapshot!(shown(limited_run(), Lang::En));
}

#[test]
fn a_closed_load_at_its_generators_limit_in_chinese() {
    insta::assert_snapshot!(shown(limited_run(), Lang::Zh));
}

#[test]
fn gpus_of_two_hosts_in_english() {
    insta::assert_snapshot!(shown(gpu_run(2), Lang::En));
}

#[test]
fn gpus_of_two_hosts_in_chinese() {
    insta::assert_snapshot!(shown(gpu_run(2), Lang::Zh));
}

#[test]
fn a_gpu_that_was_gone_meanwhile_in_english() {
    insta::assert_snapshot!(shown(gone_run(), Lang::En));
}

#[test]
fn a_gpu_that_was_gone_meanwhile_in_chinese() {
    insta::assert_snapshot!(shown(gone_run(), Lang::Zh));
}

#[test]
fn there_is_no_colour_code_unless_it_is_asked_for() {
    for run in [seed_run, troubled_run, stopped_run, remote_run, open_run, limited_run] {
        assert!(!shown(run(), Lang::En).contains('\x1b'));
    }
    let report = analyse(&troubled_run().done(), &ScoreSettings::default());
    let (plain, coloured) = (render(&report, Lang::Zh, false), render(&report, Lang::Zh, true));
    assert!(coloured.contains("\x1b[31m"));
    let mut stripped = String::new();
    for (i, part) in coloured.split('\x1b').enumerate() {
        stripped.push_str(if i == 0 { part } else { part.split_once('m').expect("a code").1 });
    }
    assert_eq!(stripped, plain);
}

#[test]
fn a_long_name_widens_the_frame_and_keeps_the_columns() {
    let name = "a-strategy-with-quite-a-long-name-for-a-column";
    let run = RunSketch::new().ran(Sketch::new(name, 0.4, 2.0, 0.0)).ran(Sketch::new("短名", 0.4, 2.0, 0.0));
    let text = shown(run, Lang::Zh);
    let lines: Vec<_> = text.lines().collect();
    let at = |line: &str| line[..line.find("0.40").expect("its throughput")].width();
    assert_eq!(at(lines[5]), at(lines[6]));
    assert!(lines.iter().take(7).all(|l| l.width() <= lines[0].width()));
}
