use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::reading::{Absence, AbsenceReason, Reading};
use proptest::prelude::*;

use super::*;

const PERIOD: Duration = Duration::from_millis(100);

fn at(ms: i64) -> Mono {
    Mono::from_nanos(ms * 1_000_000)
}

fn read(ms: i64, value: f64) -> Taken<Reading> {
    Taken::new(at(ms), Duration::ZERO, 0, Ok(value))
}

fn span(from_ms: i64, to_ms: i64) -> Span {
    Span { from: at(from_ms), to: at(to_ms), error_ns: 0 }
}

/// Readings each 100 ms up to 2 s.
fn each(value: impl Fn(f64) -> f64) -> Vec<Taken<Reading>> {
    (0..=20).map(|k| read(100 * k, value(0.1 * k as f64))).collect()
}

fn counter(readings: &[Taken<Reading>]) -> Counter {
    Counter::new(readings, None, None)
}

fn no_power() -> Power {
    Power::new(&[], &[], PERIOD)
}

fn near(got: Measure, value: f64, uncertainty: f64) {
    assert!((got.value - value).abs() < 1e-6, "{got:?}, not {value}");
    assert!((got.uncertainty - uncertainty).abs() < 1e-6, "{got:?}, not {uncertainty}");
}

#[test]
fn of_a_constant_power_the_energy_is_exact_and_its_error_the_step_between_two_readings() {
    let counter = counter(&each(|s| 5_000.0 + 200.0 * s));
    // Edges on readings: nothing but the resolution, of which no more is known than the step.
    near(counter.over(span(500, 1_500)).unwrap(), 200.0, 20.0);
    // Edges between readings, 30 and 40 ms from the nearer one: at worst all of a step was before or after.
    near(counter.over(span(530, 1_440)).unwrap(), 182.0, 20.0 + 14.0 + 12.0);
}

#[test]
fn a_known_power_limit_bounds_what_can_have_come_between_a_reading_and_the_edge() {
    let readings = each(|s| 5_000.0 + 200.0 * s);
    let counter = Counter::new(&readings, Some(210.0), Some(300.0));
    // 10 ms after one reading and 10 ms before the other: no more than 3 J came between, of which 2 J are in the figure.
    near(counter.over(span(510, 1_490)).unwrap(), 196.0, 20.0 + 2.0 + 2.0);
    // 50 ms from both: of the step of 20 J at most 15 J came on either side, and 10 J are in the figure.
    near(counter.over(span(550, 1_450)).unwrap(), 180.0, 20.0 + 5.0 + 5.0);
}

#[test]
fn edges_that_are_off_by_a_known_time_cost_the_power_around_them() {
    let readings = each(|s| 5_000.0 + 200.0 * s);
    let counter = Counter::new(&readings, None, Some(200.0));
    let unsure = Span { error_ns: 5_000_000, ..span(500, 1_500) };
    near(counter.over(unsure).unwrap(), 200.0, 20.0 + 1.0 + 1.0);
    // A clock that is off says the same of readings.
    let late: Vec<_> =
        readings.iter().map(|r| Taken::new(r.earliest, Duration::ZERO, 5_000_000, r.value.clone())).collect();
    near(Counter::new(&late, None, Some(200.0)).over(span(500, 1_500)).unwrap(), 200.0, 20.0 + 1.0 + 1.0);
}

#[test]
fn a_ramp_is_interpolated_between_the_readings_around_each_edge() {
    // 100 W more each second: 50 t^2.
    let counter = counter(&each(|s| 50.0 * s * s));
    let got = counter.over(span(1_000, 1_550)).unwrap();
    let (before, after) = (50.0 * 1.5 * 1.5, 50.0 * 1.6 * 1.6);
    near(got, f64::midpoint(before, after) - 50.0, 0.5 + (after - before) / 2.0);
}

#[test]
fn a_quantised_counter_is_wrong_by_its_quantum() {
    // 25 W in quanta of 10 J.
    let counter = counter(&each(|s| ((25.0 * s) / 10.0).floor() * 10.0));
    let got = counter.over(span(400, 1_600)).unwrap();
    near(got, 30.0, 10.0);
    assert!((got.value - 30.0).abs() <= got.uncertainty);
}

#[test]
fn a_counter_that_is_renewed_now_and_then_is_wrong_by_the_power_meanwhile() {
    // In millijoules, but renewed each 300 ms only; the step before the last is small.
    let renewed = |s: f64| if s > 1.95 { 380.001 } else { 200.0 * ((s + 1e-9) / 0.3).floor() * 0.3 };
    let readings: Vec<_> = (0..=20).map(|k| read(100 * k, renewed(0.1 * k as f64))).collect();
    let counter = Counter::new(&readings, None, None);
    let got = counter.over(span(500, 1_700)).unwrap();
    assert!((got.value - 240.0).abs() <= got.uncertainty, "{got:?}");
    assert!(got.uncertainty >= 2.0 * 0.2 * 200.0, "{got:?}");
}

#[test]
fn a_counter_that_begins_anew_within_the_window_has_no_energy_there_but_on_both_sides() {
    let counter = counter(&each(|s| if s < 0.95 { 5_000.0 + 200.0 * s } else { 200.0 * (s - 0.95) }));
    assert_eq!(counter.over(span(500, 1_500)), Err(Missing::CounterReset));
    near(counter.over(span(200, 800)).unwrap(), 120.0, 20.0);
    near(counter.over(span(1_200, 1_800)).unwrap(), 120.0, 20.0);
}

#[test]
fn two_readings_whose_order_is_not_sure_are_no_new_beginning() {
    let mut readings = each(|s| 5_000.0 + 200.0 * s);
    // Taken 1 ms after the reading of 1 s; the clock, known to 3 ms, puts it before.
    readings.push(Taken::new(at(999), Duration::ZERO, 3_000_000, Ok(5_200.2)));
    let got = counter(&readings).over(span(500, 1_500)).unwrap();
    assert!((got.value - 200.0).abs() < 1e-6, "{got:?}");
}

#[test]
fn power_covers_for_a_counter_that_began_anew() {
    let counter = counter(&each(|s| if s < 0.95 { 5_000.0 + 200.0 * s } else { 200.0 * (s - 0.95) }));
    let power = Power::new(&each(|_| 200.0), &[], PERIOD);
    let got = over(&counter, &power, span(500, 1_500)).unwrap();
    assert_eq!(got.by, EnergySource::Power);
    near(got.joules, 200.0, 0.0);
    assert_eq!(over(&counter, &no_power(), span(500, 1_500)), Err(Missing::CounterReset));
}

#[test]
fn a_counter_that_never_moved_measured_nothing() {
    assert_eq!(counter(&each(|_| 77.0)).over(span(500, 1_500)), Err(Missing::CounterStill));
}

#[test]
fn without_a_reading_on_both_sides_there_is_no_energy_and_the_reason_of_the_nearest_absence() {
    let readings = each(|s| 200.0 * s);
    assert_eq!(counter(&readings).over(span(500, 2_001)), Err(Missing::NotEnclosed));
    let lost = Absence::new(AbsenceReason::Lost, "fell off the bus");
    let mut gone = readings;
    gone.push(Taken::new(at(2_100), Duration::ZERO, 0, Err(lost.clone())));
    gone.insert(
        0,
        Taken::new(at(-100), Duration::ZERO, 0, Err(Absence::new(AbsenceReason::NotYet, "it begins"))),
    );
    assert_eq!(counter(&gone).over(span(500, 2_001)), Err(Missing::NotRead(lost)));
}

#[test]
fn a_device_without_a_counter_has_the_reason_of_its_power() {
    let none = Absence::new(AbsenceReason::Unsupported, "");
    let unsupported: Vec<_> =
        (0..=20).map(|k| Taken::new(at(100 * k), Duration::ZERO, 0, Err(none.clone()))).collect();
    let counter = counter(&unsupported);
    let power = Power::new(&each(|_| 150.0), &[], PERIOD);
    near(over(&counter, &power, span(500, 1_500)).unwrap().joules, 150.0, 0.0);
    let few = Power::new(&[read(0, 150.0), read(2_000, 150.0)], &[], PERIOD);
    let gap = Missing::ReadingGap { gap_ms: 2_000, longest_ms: 300 };
    assert_eq!(over(&counter, &few, span(500, 1_500)), Err(gap));
}

#[test]
fn a_ramp_of_power_is_a_sum_of_trapezoids_each_wrong_by_half_its_step() {
    let power = Power::new(&each(|s| 100.0 * s), &[], PERIOD);
    near(power.over(span(500, 1_500)).unwrap(), 100.0, 10.0 * 5.0 * 0.1);
    // Half a piece at each edge, of which at worst all is at the farther value.
    let halves = power.over(span(550, 1_450)).unwrap();
    near(halves, 90.0, 8.0 * 5.0 * 0.1 + 2.0 * 7.5 * 0.05);
}

#[test]
fn power_that_may_be_a_mean_of_the_past_second_adds_half_a_second_of_its_spread() {
    let steps = each(|s| if s < 0.75 { 60.0 } else { 260.0 });
    let (instant, offered) = (Power::new(&steps, &[], PERIOD), Power::new(&[], &steps, PERIOD));
    let (instant, offered) = (instant.over(span(500, 1_500)), offered.over(span(500, 1_500)));
    near(instant.unwrap(), 0.25 * 60.0 + 0.75 * 260.0, 100.0 * 0.1);
    near(offered.unwrap(), 0.25 * 60.0 + 0.75 * 260.0, 100.0 * 0.1 + 0.5 * 200.0);
}

#[test]
fn three_periods_are_no_gap_and_more_are_one() {
    let without = |ms: [i64; 3], n: usize| {
        let mut readings = each(|_| 100.0);
        readings.retain(|r| !ms[..n].contains(&(r.earliest.as_nanos() / 1_000_000)));
        Power::new(&readings, &[], PERIOD).over(span(500, 1_500))
    };
    near(without([900, 1_000, 1_100], 2).unwrap(), 100.0, 0.0);
    assert_eq!(without([900, 1_000, 1_100], 3), Err(Missing::ReadingGap { gap_ms: 400, longest_ms: 300 }));
}

/// A power curve in pieces: milliseconds and watts.
fn energy_until(curve: &[(i64, f64)], ms: f64) -> f64 {
    let mut begin = 0.0;
    let mut energy = 0.0;
    for &(length, watts) in curve {
        let length = length as f64;
        energy += watts * (ms - begin).clamp(0.0, length) / 1e3;
        begin += length;
    }
    energy
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn the_true_energy_lies_within_the_stated_uncertainty(
        curve in proptest::collection::vec((1_i64..600, prop_oneof![Just(0.0), 0.0..700.0_f64]), 20..40),
        // Between readings, ms; each reading's place within its clock's error, and what it took.
        readings in proptest::collection::vec((0.2..180.0_f64, -1.0..1.0_f64, 0.0..1.0_f64), 60..120),
        quantum in prop_oneof![Just(0.001), Just(1.0), Just(15.625), 0.01..40.0_f64],
        (phase, nearest) in (0.0..1.0_f64, any::<bool>()),
        (error_ms, took_ms, edge_error_ms) in (0.0..20.0_f64, 0.0..5.0_f64, 0.0..20.0_f64),
        (from, to, from_off, to_off) in (0.25..0.5_f64, 0.5..0.75_f64, -1.0..1.0_f64, -1.0..1.0_f64),
        limited in any::<bool>(),
    ) {
        let mut true_ms = 0.0;
        let mut taken = Vec::new();
        for (gap, off, within) in readings {
            true_ms += gap;
            let energy = energy_until(&curve, true_ms);
            let counts = energy / quantum + phase;
            let counts = if nearest { counts.round() } else { counts.floor() };
            let at_ns = ((true_ms + off * error_ms - within * took_ms) * 1e6).round();
            // A nanosecond more than it is off, for the rounding.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds")]
            let (at, took, error) = (
                Mono::from_nanos(at_ns as i64),
                Duration::from_nanos((took_ms * 1e6) as u64 + 1),
                (error_ms * 1e6) as u64 + 1,
            );
            taken.push(Taken::new(at, took, error, Ok(counts * quantum)));
        }
        let (from, to) = (from * true_ms, to * true_ms);
        #[expect(clippy::cast_possible_truncation, reason = "some seconds")]
        let ns = |ms: f64| (ms * 1e6).round() as i64;
        let span = Span {
            from: Mono::from_nanos(ns(from + from_off * edge_error_ms)),
            to: Mono::from_nanos(ns(to + to_off * edge_error_ms)),
            error_ns: ns(edge_error_ms) + 1,
        };
        prop_assume!(span.from < span.to);
        let truth = energy_until(&curve, to) - energy_until(&curve, from);
        match Counter::new(&taken, None, limited.then_some(700.0)).over(span) {
            Ok(got) => prop_assert!(
                (got.value - truth).abs() <= got.uncertainty + 1e-6 * truth.max(1.0),
                "{got:?} and {truth}"
            ),
            // All within one quantum.
            Err(Missing::CounterStill) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }
}
