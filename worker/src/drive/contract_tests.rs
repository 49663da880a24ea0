//! What every driver has to do, against servers that misbehave in each way that services are known for.
//!
//! A new driver is one more line in [`contract!`]'s list of drivers. `every` driver passes every test; what is
//! listed under `direct` is not asked of [`General`], for the reason given there.

mod bodies;
mod choice;
mod connections;
mod failures;
mod heads;
mod http2;
mod proxies;
mod rig;
mod secure;
mod sending;

use super::direct::Direct;
use super::general::General;
use super::{HttpVersion, TlsOptions};
pub(super) use rig::Silent;
use rig::{Rig, on_a_load_thread};

macro_rules! contract {
    (every { $($every:tt)* } direct { $($direct:tt)* }) => {
        contract!(@driver plain, Rig::new(Direct::default(), false), $($every)* $($direct)*);
        contract!(@driver over_tls, Rig::new(Direct::new(rig::trusting()), true), $($every)* $($direct)*);
        contract!(@driver general, Rig::new(general(), false), $($every)*);
        contract!(@driver general_over_tls, Rig::new(general(), true), $($every)*);
    };
    (@driver $driver:ident, $new:expr, $($module:ident::$test:ident,)*) => {
        mod $driver {
            use super::*;
            $(#[test]
            fn $test() {
                on_a_load_thread(async { $module::$test($new).await });
            })*
        }
    };
}

fn general() -> General {
    General::new(Some(&TlsOptions { insecure: true, ..TlsOptions::default() }), HttpVersion::One, None)
        .unwrap()
}

contract! {
    every {
        bodies::an_answer_comes_back_whole,
        bodies::chunks_are_joined_and_their_extensions_and_trailers_left_away,
        bodies::a_body_without_a_length_ends_with_the_connection,
        bodies::an_answer_of_http_1_0_is_read,
        bodies::some_answers_have_no_body_whatever_they_announce,
        bodies::an_answer_that_drips_in_byte_by_byte_is_the_same,
        bodies::an_answer_cut_anywhere_is_the_same,
        bodies::a_long_body_comes_back_whole,
        bodies::an_announced_body_beyond_the_limit_is_not_read,
        bodies::an_endless_body_is_cut_at_the_limit,
        bodies::an_error_answer_beyond_the_limit_keeps_its_status,
        connections::a_connection_is_used_again,
        connections::a_connection_of_http_1_0_is_used_again_when_the_answer_says_so,
        connections::a_connection_that_the_service_gives_up_is_not_used_again,
        connections::a_connection_that_the_server_closed_while_idle_is_not_used_again,
        connections::a_half_closed_connection_is_not_used_again,
        connections::bytes_after_an_answer_are_never_taken_for_the_next_one,
        connections::bytes_on_an_idle_connection_are_never_taken_for_an_answer,
        connections::a_request_that_was_written_is_never_sent_again,
        connections::requests_in_flight_do_not_wait_for_each_other,
        connections::what_a_new_connection_took_is_known,
        connections::connections_of_requests_in_flight_all_count,
        connections::a_request_takes_what_becomes_free_before_its_own_connection_is_open,
        connections::a_connection_that_was_begun_for_a_request_counts_with_another,
        connections::a_name_that_is_looked_up_is_part_of_what_a_connection_took,
        failures::a_connection_cut_before_the_answer_is_disconnected,
        failures::a_connection_cut_within_the_body_is_disconnected,
        failures::a_connection_half_closed_at_once_is_disconnected,
        failures::garbage_is_a_protocol_failure,
        failures::a_refused_connection_is_a_connect_failure,
        failures::a_connection_that_never_comes_is_told_from_a_slow_answer,
        failures::a_slow_answer_is_a_timeout_on_a_new_connection_and_on_a_kept_one,
        failures::a_name_that_does_not_resolve_is_a_dns_failure,
        failures::chunks_that_are_none_are_a_failure,
        heads::interim_answers_are_passed_over,
        heads::large_heads_are_read_and_endless_ones_are_not,
        heads::contradicting_lengths_are_a_protocol_failure,
        heads::headers_and_body_arrive_as_they_are,
        heads::a_switch_of_protocols_is_a_protocol_failure,
        sending::a_long_body_arrives_whole_at_a_slow_reader,
        sending::an_early_answer_is_the_result_while_the_connection_stays,
        sending::an_answer_that_begins_before_the_request_has_ended_does_not_stop_it,
    }
    direct {
        // hyper keeps using a connection whose answer had a length beside its chunks.
        connections::a_connection_whose_answer_was_framed_twice_is_not_used_again,
        // hyper does not look at `Keep-Alive`.
        connections::a_connection_is_kept_no_longer_than_the_service_says,
        // hyper reports the reset that follows such an answer, and not the answer, whenever it sees it first.
        sending::an_early_answer_is_the_result_though_the_service_closes,
    }
}
