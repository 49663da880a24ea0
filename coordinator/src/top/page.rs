//! Prometheus's text format, read: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::collections::BTreeMap;

/// The samples of a page. Lines that are none are passed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Page(Vec<Sample>);

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Page {
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// Samples of a name whose labels are these and maybe others.
    pub(super) fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let fits = |sample: &&Sample| {
            sample.name == name && labels.iter().all(|(label, value)| sample.label(label) == *value)
        };
        self.0.iter().filter(fits).collect()
    }

    /// The first of them.
    pub(super) fn first(&self, name: &str, labels: &[(&str, &str)]) -> Option<&Sample> {
        self.all(name, labels).first().copied()
    }

    /// The first one's value.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.first(name, labels).map(|sample| sample.value)
    }
}

impl Sample {
    /// A label's value; one that is not there is empty.
    pub(super) fn label(&self, label: &str) -> &str {
        self.labels.get(label).map_or("", String::as_str)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (name, mut rest) = line.split_at(line.find(['{', ' '])?);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = label_value(after)?;
            labels.insert(label.trim().to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after).trim_start();
        }
        rest = &rest[1..];
    }
    // A time stamp may follow.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// A label's value up to its closing quote, and what follows.
fn label_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                c => value.push(c),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels_and_other_lines_passed_over() {
        let page = Page::parse(
            "# HELP a b\n# TYPE a gauge\na{x=\"1\",y=\"q\\\"\\\\\\n,}\"} 0.5 1700000000\na 7\n\nnonsense\nb{x=\"\nc{ 1\n",
        );
        assert_eq!(page.value("a", &[("x", "1")]), Some(0.5));
        assert_eq!(page.first("a", &[("x", "1")]).unwrap().label("y"), "q\"\\\n,}");
        assert_eq!(page.value("a", &[("x", "")]), Some(7.0));
        assert_eq!(page.0.len(), 2);
    }
}
