//! Request bodies, rendered ahead as far as they go.
//!
//! `{"prompt":<prompt i>,"seed":<seed i>,"request_id":"<name>_<i>",<parameters>}`: prompts are escaped once, so
//! that one body is a handful of copies into memory that is used again.

use std::collections::BTreeMap;

use fluxfleet_proto::tally::Phase;
use fluxfleet_proto::trial::Workload;
use serde_json::value::RawValue;

use super::InvalidAssignment;
use crate::claim::Claim;

/// Fields that the strategy fills in itself; the parameters' own give way.
const OWN: [&str; 3] = ["prompt", "prompts", "request_id"];

/// All that bodies of one strategy have in common.
#[derive(Debug)]
pub(super) struct Template {
    plural: bool,
    /// Each prompt as a JSON string.
    prompts: Vec<Box<[u8]>>,
    longest_prompt: usize,
    /// Item 0's seed; `None` when the parameters fix a seed for all.
    seed: Option<u64>,
    /// `,"request_id":"name_`.
    before_id: Box<[u8]>,
    /// `"` and the parameters, to the closing brace.
    after_id: Box<[u8]>,
}

impl Template {
    /// Bodies with `prompt`, or with `prompts` when `plural`.
    pub(super) fn new(workload: &Workload, name: &str, plural: bool) -> Result<Self, InvalidAssignment> {
        let mut parameters: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(&workload.parameters_json).map_err(InvalidAssignment::Parameters)?;
        for field in OWN {
            parameters.remove(field);
        }
        if workload.prompts.is_empty() {
            return Err(InvalidAssignment::NoPrompts);
        }
        let seed = (!parameters.contains_key("seed")).then_some(workload.seed);
        let mut after_id = b"\"".to_vec();
        for (field, value) in &parameters {
            after_id.push(b',');
            after_id.extend(quoted(field));
            after_id.push(b':');
            after_id.extend(value.get().as_bytes());
        }
        after_id.push(b'}');
        let name = quoted(name);
        let mut before_id = b",\"request_id\":".to_vec();
        before_id.extend(&name[..name.len() - 1]);
        before_id.push(b'_');
        let prompts: Vec<_> = workload.prompts.iter().map(|p| quoted(p).into_boxed_slice()).collect();
        Ok(Self {
            plural,
            longest_prompt: prompts.iter().map(|p| p.len()).max().unwrap_or(0),
            prompts,
            seed,
            before_id: before_id.into(),
            after_id: after_id.into(),
        })
    }

    /// Puts the body that asks for these items in place of what is in `body`.
    pub(super) fn render(&self, claim: Claim, body: &mut Vec<u8>) {
        body.clear();
        // 64: the field names, two numbers of at most 20 digits. Longest prompts are counted, so that the memory
        // does not have to grow again for a later request.
        let fixed = 64 + self.before_id.len() + self.after_id.len();
        body.reserve(fixed + (self.longest_prompt + 1) * claim.items as usize);
        if self.plural {
            body.extend_from_slice(b"{\"prompts\":[");
            for i in 0..u64::from(claim.items) {
                if i > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(self.prompt(claim.first + i));
            }
            body.push(b']');
        } else {
            body.extend_from_slice(b"{\"prompt\":");
            body.extend_from_slice(self.prompt(claim.first));
        }
        if let Some(seed) = self.seed {
            body.extend_from_slice(b",\"seed\":");
            number(body, seed.wrapping_add(claim.first) & 0xffff_ffff, 1);
        }
        body.extend_from_slice(&self.before_id);
        if claim.phase == Phase::Warmup {
            // Warm-up items count from 0 too; a service's log must tell them from the measured ones.
            body.extend_from_slice(b"warmup_");
        }
        number(body, claim.first, 4);
        body.extend_from_slice(&self.after_id);
    }

    fn prompt(&self, item: u64) -> &[u8] {
        // The remainder is below the number of prompts, which is a usize.
        #[expect(clippy::cast_possible_truncation, reason = "see above")]
        let at = (item % self.prompts.len() as u64) as usize;
        &self.prompts[at]
    }
}

/// Writes a number with at least so many digits, without the machinery of formats: it runs for each request.
fn number(body: &mut Vec<u8>, n: u64, width: usize) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(n);
    body.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    body.extend_from_slice(digits.as_bytes());
}

/// As a JSON string; non-ASCII characters stay as they are.
fn quoted(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn workload(prompts: &[&str], parameters_json: &str, seed: u64) -> Workload {
        Workload {
            prompts: prompts.iter().map(|&p| p.to_owned()).collect(),
            parameters_json: parameters_json.to_owned(),
            seed,
        }
    }

    fn bytes(template: &Template, first: u64, items: u32) -> Vec<u8> {
        let mut body = b"an earlier one".to_vec();
        template.render(Claim { phase: Phase::Measure, first, items }, &mut body);
        body
    }

    fn render(template: &Template, first: u64, items: u32) -> Value {
        serde_json::from_slice(&bytes(template, first, items)).unwrap()
    }

    #[test]
    fn a_single_body_has_prompt_seed_id_and_parameters() {
        let w = workload(&["一只\"猫\"", "b"], r#"{"steps": 25, "guidance_scale": 3.50}"#, 0xffff_ffff);
        let template = Template::new(&w, "model_pool", false).unwrap();
        assert_eq!(
            String::from_utf8(bytes(&template, 0, 1)).unwrap(),
            "{\"prompt\":\"一只\\\"猫\\\"\",\"seed\":4294967295,\"request_id\":\"model_pool_0000\",\
             \"guidance_scale\":3.50,\"steps\":25}"
        );
        let second = render(&template, 1, 1);
        assert_eq!((&second["prompt"], &second["seed"]), (&json!("b"), &json!(0)));
        assert_eq!(render(&template, 12_345, 1)["request_id"], "model_pool_12345");
    }

    #[test]
    fn a_warm_up_request_says_so_in_its_id() {
        let template = Template::new(&workload(&["a"], "{}", 0), "x", false).unwrap();
        let mut body = Vec::new();
        template.render(Claim { phase: Phase::Warmup, first: 7, items: 1 }, &mut body);
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["request_id"], "x_warmup_0007");
    }

    #[test]
    fn a_batch_body_lists_its_prompts_round_robin_and_sends_its_first_items_seed() {
        let template = Template::new(&workload(&["a", "b", "c"], "{}", 100), "batch", true).unwrap();
        let body = render(&template, 8, 4);
        assert_eq!(body, json!({"prompts": ["c", "a", "b", "c"], "seed": 108, "request_id": "batch_0008"}));
    }

    #[test]
    fn parameters_keep_their_seed_but_not_the_strategys_own_fields() {
        let w = workload(&["a"], r#"{"seed": 7, "prompt": "mine", "request_id": 3}"#, 100);
        let body = render(&Template::new(&w, "x", false).unwrap(), 5, 1);
        assert_eq!(body, json!({"prompt": "a", "seed": 7, "request_id": "x_0005"}));
    }

    #[test]
    fn parameters_must_be_an_object() {
        for bad in ["", "[]", "3", "{"] {
            assert!(Template::new(&workload(&["a"], bad, 0), "x", false).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_prompt_and_name_arrive_as_they_are(prompt in "\\PC*|[\\x00-\\x1f\"\\\\]*", name in "\\PC+") {
            let template = Template::new(&workload(&[&prompt], "{}", 1), &name, false).unwrap();
            let body = render(&template, 3, 1);
            prop_assert_eq!(&body["prompt"], &json!(prompt));
            prop_assert_eq!(&body["request_id"], &json!(format!("{name}_0003")));
        }
    }
}
