//! The text format of Prometheus (0.0.4) and OpenMetrics (1.0): families of metrics, written one after the other.
//!
//! The property to trust: a family has HELP and TYPE and stands once, a counter's name ends in `_total`, and no label's value can end a
//! line or its quotes.
//!
//! Not here: which metrics there are (`metrics`).

use crate::observe::counters::{Kind, Label};
use std::fmt::Write as _;

/// The two formats, which differ little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.
    OpenMetrics,
}

impl Format {
    /// The format for a request with these Accept fields: OpenMetrics where it is asked for at least as much as plain text.
    pub fn accepted<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut open_metrics, mut plain) = (0, 0);
        for range in fields.filter_map(|field| str::from_utf8(field).ok()).flat_map(|field| field.split(','))
        {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            // RFC 9110 §12.4.2: 0 to 1 with three digits. What is none is not asked for.
            let quality = quality.map_or(Some(1.0), |text| text.parse().ok()).unwrap_or(0.0_f64);
            let thousandths = (quality.clamp(0.0, 1.0) * 1000.0) as u32;
            match kind.as_str() {
                "application/openmetrics-text" => open_metrics = open_metrics.max(thousandths),
                "text/plain" | "text/*" | "*/*" => plain = plain.max(thousandths),
                _ => {}
            }
        }
        if open_metrics > 0 && open_metrics >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The media type of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A text that grows by families.
#[derive(Debug)]
pub(super) struct Exposition {
    format: Format,
    text: String,
}

/// A family whose samples are being written.
#[derive(Debug)]
pub(super) struct Family<'e> {
    text: &'e mut String,
    /// With the prefix, and `_total` for a counter.
    name: String,
}

/// The prefix of every name.
const PREFIX: &str = "ringgate_";

impl Exposition {
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// Begins a family of counters or gauges. `name` is without prefix and suffix.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        let name = format!("{PREFIX}{name}");
        let sample = if kind == Kind::Counter { format!("{name}_total") } else { name.clone() };
        self.head(if self.format == Format::OpenMetrics { &name } else { &sample }, kind.name(), help);
        Family { text: &mut self.text, name: sample }
    }

    /// A family of one sample that is always 1: what it says stands in its labels.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) {
        let (name, sample) = (format!("{PREFIX}{name}"), format!("{PREFIX}{name}_info"));
        match self.format {
            Format::OpenMetrics => self.head(&name, "info", help),
            Format::Prometheus => self.head(&sample, "gauge", help),
        }
        Family { text: &mut self.text, name: sample }.sample(labels, 1);
    }

    /// Begins a family of histograms.
    pub(super) fn histograms(&mut self, name: &str, help: &str) -> Family<'_> {
        let name = format!("{PREFIX}{name}");
        self.head(&name, "histogram", help);
        Family { text: &mut self.text, name }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        push_escaped(&mut self.text, help, self.format == Format::OpenMetrics);
        put(&mut self.text, format_args!("\n# TYPE {name} {kind}\n"));
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    /// One number.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        self.named("", labels, None, format_args!("{value}"));
    }

    /// One number of seconds, which is given in milliseconds.
    pub(super) fn sample_ms(&mut self, labels: &[(&str, &str)], milliseconds: u64) {
        self.named("", labels, None, format_args!("{}.{:03}", milliseconds / 1000, milliseconds % 1000));
    }

    /// One histogram: counts by bucket, not summed up, the last for what is above all `bounds`, and the sum of all values as text.
    pub(super) fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        bounds: &[&str],
        counts: &[u64],
        sum: std::fmt::Arguments<'_>,
    ) {
        let mut total = 0;
        for (bound, count) in bounds.iter().copied().chain(["+Inf"]).zip(counts) {
            total += count;
            self.named("_bucket", labels, Some(("le", bound)), format_args!("{total}"));
        }
        self.named("_sum", labels, None, sum);
        self.named("_count", labels, None, format_args!("{total}"));
    }

    fn named(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        further: Option<(&str, &str)>,
        value: std::fmt::Arguments<'_>,
    ) {
        self.text.push_str(&self.name);
        self.text.push_str(suffix);
        let mut opening = '{';
        for (key, value) in labels.iter().copied().chain(further) {
            put(self.text, format_args!("{opening}{key}=\""));
            push_escaped(self.text, value, true);
            self.text.push('"');
            opening = ',';
        }
        if opening == ',' {
            self.text.push('}');
        }
        put(self.text, format_args!(" {value}\n"));
    }
}

/// Labels of the counters, as samples take them.
pub(super) fn pairs(labels: &[Label]) -> Vec<(&str, &str)> {
    labels.to_vec()
}

/// Adds a text in which nothing ends the line, nor quotes if it stands in some.
fn push_escaped(text: &mut String, value: &str, is_quoted: bool) {
    for char in value.chars() {
        match char {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if is_quoted => text.push_str("\\\""),
            _ => text.push(char),
        }
    }
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        exposition
            .family("things", Kind::Counter, "Things \"so\" \\ \nsaid.")
            .sample(&[("a", "x\"y\\z\n")], 3);
        let mut family = exposition.family("held", Kind::Gauge, "Held.");
        family.sample(&[], 1);
        family.sample_ms(&[("a", "b"), ("c", "d")], 12_005);
        exposition.info("build", "Which.", &[("version", "1.2")]);
        let mut family = exposition.histograms("wait_seconds", "Waits.");
        family.histogram(&[("stage", "dial")], &["0.1", "1"], &[2, 0, 1], format_args!("1.5"));
        exposition.finish()
    }

    #[test]
    fn writes_the_text_format_of_prometheus() {
        let expected = "# HELP ringgate_things_total Things \"so\" \\\\ \\nsaid.\n# TYPE ringgate_things_total counter\n\
            ringgate_things_total{a=\"x\\\"y\\\\z\\n\"} 3\n# HELP ringgate_held Held.\n# TYPE ringgate_held gauge\nringgate_held 1\n\
            ringgate_held{a=\"b\",c=\"d\"} 12.005\n# HELP ringgate_build_info Which.\n# TYPE ringgate_build_info gauge\n\
            ringgate_build_info{version=\"1.2\"} 1\n# HELP ringgate_wait_seconds Waits.\n# TYPE ringgate_wait_seconds histogram\n\
            ringgate_wait_seconds_bucket{stage=\"dial\",le=\"0.1\"} 2\nringgate_wait_seconds_bucket{stage=\"dial\",le=\"1\"} 2\n\
            ringgate_wait_seconds_bucket{stage=\"dial\",le=\"+Inf\"} 3\nringgate_wait_seconds_sum{stage=\"dial\"} 1.5\n\
            ringgate_wait_seconds_count{stage=\"dial\"} 3\n";
        assert_eq!(written(Format::Prometheus), expected);
    }

    #[test]
    fn openmetrics_names_a_counters_family_without_its_suffix_and_says_where_it_ends() {
        let lines = written(Format::OpenMetrics);
        let prometheus = written(Format::Prometheus);
        let samples = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(samples(&lines), samples(&prometheus));
        for line in [
            "# HELP ringgate_things Things \\\"so\\\" \\\\ \\nsaid.",
            "# TYPE ringgate_things counter",
            "# TYPE ringgate_build info",
            "# TYPE ringgate_wait_seconds histogram",
        ] {
            assert!(lines.lines().any(|found| found == line), "{line} in {lines}");
        }
        assert!(lines.ends_with("\n# EOF\n"));
    }

    #[test]
    fn openmetrics_is_given_to_who_asks_for_it_and_text_to_all_others() {
        let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                             text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (fields, format) in [
            (&[of_prometheus][..], Format::OpenMetrics),
            (&["application/openmetrics-text"], Format::OpenMetrics),
            (&["Application/OpenMetrics-Text; version=1.0.0; Q=0.1"], Format::OpenMetrics),
            (&["text/html", "application/openmetrics-text"], Format::OpenMetrics),
            (&["application/openmetrics-text;q=0.2, text/plain;q=0.3"], Format::Prometheus),
            (&["application/openmetrics-text;q=0"], Format::Prometheus),
            (&["application/openmetrics-text;q=x"], Format::Prometheus),
            (&["text/plain"], Format::Prometheus),
            (&["*/*"], Format::Prometheus),
            (&["\u{ff}"], Format::Prometheus),
            (&[], Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(fields.iter().map(|field| field.as_bytes())), format, "{fields:?}");
        }
    }
}
