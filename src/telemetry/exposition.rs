//! The text format of Prometheus (0.0.4) and OpenMetrics (1.0): families of metrics, written one after the other.
//!
//! The property to trust: a family has HELP and TYPE and stands once, a counter's name ends in `_total`, and no label's value can end a
//! line or its quotes.
//!
//! Not here: which metrics there are (`metrics`), and what they are made of (`families`).

use super::families::{FamilyHead, FamilyKind, MetricWriter, Number};
use crate::observe::counters::Kind;
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
    /// The name of the samples that come.
    sample: String,
}

/// The prefix of every name.
const PREFIX: &str = "ringgate_";

impl Exposition {
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::new(), sample: String::new() }
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn named(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        further: Option<(&str, &str)>,
        value: std::fmt::Arguments<'_>,
    ) {
        self.text.push_str(&self.sample);
        self.text.push_str(suffix);
        let mut opening = '{';
        for (key, value) in labels.iter().copied().chain(further) {
            put(&mut self.text, format_args!("{opening}{key}=\""));
            push_escaped(&mut self.text, value, true);
            self.text.push('"');
            opening = ',';
        }
        if opening == ',' {
            self.text.push('}');
        }
        put(&mut self.text, format_args!(" {value}\n"));
    }
}

impl MetricWriter for Exposition {
    fn begin(&mut self, family: &FamilyHead<'_>) {
        let name = format!("{PREFIX}{}", family.name);
        let suffix = match family.kind {
            FamilyKind::Number(Kind::Counter) => "_total",
            FamilyKind::Info => "_info",
            FamilyKind::Number(Kind::Gauge) | FamilyKind::Histogram => "",
        };
        self.sample = format!("{name}{suffix}");
        let (is_open, text) = (self.format == Format::OpenMetrics, &mut self.text);
        let kind = match family.kind {
            FamilyKind::Number(kind) => kind.name(),
            FamilyKind::Info if is_open => "info",
            FamilyKind::Info => Kind::Gauge.name(),
            FamilyKind::Histogram => "histogram",
        };
        let shown = if is_open { &name } else { &self.sample };
        put(text, format_args!("# HELP {shown} "));
        push_escaped(text, family.help, is_open);
        put(text, format_args!("\n# TYPE {shown} {kind}\n"));
    }

    fn number(&mut self, labels: &[(&str, &str)], value: Number) {
        self.named("", labels, None, format_args!("{value}"));
    }

    fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[&str], counts: &[u64], sum: Number) {
        let mut total = 0;
        for (bound, count) in bounds.iter().copied().chain(["+Inf"]).zip(counts) {
            total += count;
            self.named("_bucket", labels, Some(("le", bound)), format_args!("{total}"));
        }
        self.named("_sum", labels, None, format_args!("{sum}"));
        self.named("_count", labels, None, format_args!("{total}"));
    }
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
    use crate::telemetry::families::Families;

    fn written(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        let mut page = Families::new(&mut exposition);
        page.family("things", Kind::Counter, "Things \"so\" \\ \nsaid.").sample(&[("a", "x\"y\\z\n")], 3);
        let mut family = page.family("held", Kind::Gauge, "Held.");
        family.sample(&[], 1);
        family.sample_ms(&[("a", "b"), ("c", "d")], 12_005);
        page.info("build", "Which.", &[("version", "1.2")]);
        let mut family = page.histograms("wait_seconds", "Waits.");
        family.histogram(&[("stage", "dial")], &["0.1", "1"], &[2, 0, 1], Number::Millionths(1_500_000));
        exposition.finish()
    }

    #[test]
    fn writes_the_text_format_of_prometheus() {
        let expected = "# HELP ringgate_things_total Things \"so\" \\\\ \\nsaid.\n# TYPE ringgate_things_total counter\n\
            ringgate_things_total{a=\"x\\\"y\\\\z\\n\"} 3\n# HELP ringgate_held Held.\n# TYPE ringgate_held gauge\nringgate_held 1\n\
            ringgate_held{a=\"b\",c=\"d\"} 12.005\n# HELP ringgate_build_info Which.\n# TYPE ringgate_build_info gauge\n\
            ringgate_build_info{version=\"1.2\"} 1\n# HELP ringgate_wait_seconds Waits.\n# TYPE ringgate_wait_seconds histogram\n\
            ringgate_wait_seconds_bucket{stage=\"dial\",le=\"0.1\"} 2\nringgate_wait_seconds_bucket{stage=\"dial\",le=\"1\"} 2\n\
            ringgate_wait_seconds_bucket{stage=\"dial\",le=\"+Inf\"} 3\nringgate_wait_seconds_sum{stage=\"dial\"} 1.500000\n\
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
