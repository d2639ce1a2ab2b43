//! Diagnostics (`[diagnostics]`): what the log has of openings and sessions, under Azure API Management's names.
//!
//! The instance file has them for all APIs, and an API's file for its own: a key that an API does not have is the instance's.
//!
//! Not here: what becomes of rows that are left out (`telemetry::sampling`), and what is masked (`telemetry::masking`).

use super::fields::Fields;
use super::request_name::HeaderName;

/// Most headers of one leg that are captured.
const HEADERS_MAX: usize = 32;

/// Most query parameters whose values are shown.
const QUERY_NAMES_MAX: usize = 64;

/// Longest name of such a parameter, in bytes.
const QUERY_NAME_BYTES_MAX: usize = 256;

/// Diagnostics as a file has them. `None`: the file has no such key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// The share of openings whose rows are logged. Default 100 %.
    pub sampling: Option<Sampling>,
    /// Which openings and sessions are logged although sampling leaves them out. Default: all that fail.
    pub always_log: Option<AlwaysLog>,
    /// The least severity of what policies trace for it to stand in the row of the opening. Default verbose.
    pub verbosity: Option<Verbosity>,
    /// Query parameters whose values are shown, at most 64. Default none.
    pub query_names: Option<Vec<Box<str>>>,
    /// Whether open sessions have a progress row every 60 s. Default no.
    pub progress: Option<bool>,
    /// Headers of the client's request that are captured, at most 32. Default none.
    pub frontend_request_headers: Option<Vec<HeaderName>>,
    /// Headers of the answer to the client.
    pub frontend_response_headers: Option<Vec<HeaderName>>,
    /// Headers of the request to the backend.
    pub backend_request_headers: Option<Vec<HeaderName>>,
    /// Headers of the backend's answer.
    pub backend_response_headers: Option<Vec<HeaderName>>,
}

/// Those that hold for an API, or for openings that no API took: its own, the instance's, or the defaults.
#[derive(Clone, Copy, Debug)]
pub struct DiagnosticsInForce<'a> {
    /// The share of openings whose rows are logged.
    pub sampling: Sampling,
    /// Which are logged although sampling leaves them out.
    pub always_log: AlwaysLog,
    /// The least severity of what policies trace for it to stand in the row.
    pub verbosity: Verbosity,
    /// Query parameters whose values are shown.
    pub query_names: &'a [Box<str>],
    /// Whether open sessions have progress rows.
    pub progress: bool,
    /// Headers of the client's request that are captured.
    pub frontend_request_headers: &'a [HeaderName],
    /// Headers of the answer to the client.
    pub frontend_response_headers: &'a [HeaderName],
    /// Headers of the request to the backend.
    pub backend_request_headers: &'a [HeaderName],
    /// Headers of the backend's answer.
    pub backend_response_headers: &'a [HeaderName],
}

impl Diagnostics {
    /// Those of an API on this instance; of openings that no API took, if there is none.
    pub fn in_force<'a>(of_api: Option<&'a Self>, of_instance: &'a Self) -> DiagnosticsInForce<'a> {
        fn one<T: Copy + Default>(
            of_api: Option<&Diagnostics>,
            of_instance: &Diagnostics,
            key: impl Fn(&Diagnostics) -> Option<T>,
        ) -> T {
            of_api.and_then(&key).or_else(|| key(of_instance)).unwrap_or_default()
        }
        fn list<'a, T>(
            of_api: Option<&'a Diagnostics>,
            of_instance: &'a Diagnostics,
            key: impl Fn(&'a Diagnostics) -> Option<&'a Vec<T>>,
        ) -> &'a [T] {
            of_api.and_then(&key).or_else(|| key(of_instance)).map_or(&[], Vec::as_slice)
        }
        DiagnosticsInForce {
            sampling: one(of_api, of_instance, |of| of.sampling),
            always_log: one(of_api, of_instance, |of| of.always_log),
            verbosity: one(of_api, of_instance, |of| of.verbosity),
            query_names: list(of_api, of_instance, |of| of.query_names.as_ref()),
            progress: one(of_api, of_instance, |of| of.progress),
            frontend_request_headers: list(of_api, of_instance, |of| of.frontend_request_headers.as_ref()),
            frontend_response_headers: list(of_api, of_instance, |of| of.frontend_response_headers.as_ref()),
            backend_request_headers: list(of_api, of_instance, |of| of.backend_request_headers.as_ref()),
            backend_response_headers: list(of_api, of_instance, |of| of.backend_response_headers.as_ref()),
        }
    }
}

impl DiagnosticsInForce<'_> {
    /// Whether any header is captured but those of the client's request, which are known anyway.
    pub fn captures_beyond_request(&self) -> bool {
        let lists =
            [self.frontend_response_headers, self.backend_request_headers, self.backend_response_headers];
        lists.iter().any(|names| !names.is_empty())
    }
}

/// The share of openings whose rows are logged, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling(u32);

impl Default for Sampling {
    /// All.
    fn default() -> Self {
        Self(Self::ALL)
    }
}

impl Sampling {
    const ALL: u32 = 1_000_000;

    /// A percentage with at most four decimals.
    fn parse(percentage: &str) -> Option<Self> {
        let plain = percentage.strip_prefix('+').unwrap_or(percentage);
        let (whole, decimals) = plain.split_once('.').unwrap_or((plain, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(decimals) || decimals.len() > 4 {
            return None;
        }
        let millionths = format!("{whole}{decimals:0<4}").parse().ok()?;
        (millionths <= Self::ALL).then_some(Self(millionths))
    }

    /// Whether it takes the opening that has drawn this number, of which each is as likely as any other.
    pub fn takes(self, drawn: u32) -> bool {
        let scaled = (u64::from(drawn) * u64::from(Self::ALL)) >> u32::BITS;
        scaled < u64::from(self.0)
    }

    /// As a percentage.
    pub fn percentage(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

/// Which openings and sessions are logged although sampling leaves them out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlwaysLog {
    /// Openings that come to no session, and sessions that fail.
    #[default]
    AllErrors,
    /// None.
    Nothing,
}

impl AlwaysLog {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllErrors => "allErrors",
            Self::Nothing => "none",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let all = [Self::AllErrors, Self::Nothing];
        let found = all.into_iter().find(|always_log| always_log.name() == text);
        found.ok_or_else(|| "\"allErrors\" or \"none\"".to_owned())
    }
}

/// The least severity of what policies trace for it to stand in the row of the opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Everything.
    #[default]
    Verbose,
    /// What is of severity information or error.
    Information,
    /// What is of severity error.
    Error,
}

impl Verbosity {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verbose => "verbose",
            Self::Information => "information",
            Self::Error => "error",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let all = [Self::Error, Self::Information, Self::Verbose];
        let found = all.into_iter().find(|verbosity| verbosity.name() == text);
        found.ok_or_else(|| "\"error\", \"information\" or \"verbose\"".to_owned())
    }
}

/// Takes the table `[diagnostics]`.
pub(crate) fn take_diagnostics(mut fields: Fields<'_>) -> Diagnostics {
    let (headers, names) = ((0, HEADERS_MAX), (0, QUERY_NAMES_MAX));
    let taken = Diagnostics {
        sampling: fields.take_decimal(
            "sampling",
            "0 to 100 percent, with at most four decimals",
            Sampling::parse,
        ),
        always_log: fields.take_text("always_log", AlwaysLog::parse),
        verbosity: fields.take_text("verbosity", Verbosity::parse),
        query_names: fields.take_texts("query_names", names, parse_query_name),
        progress: fields.take_boolean("progress"),
        frontend_request_headers: fields.take_texts(
            "frontend_request_headers",
            headers,
            HeaderName::parse_any,
        ),
        frontend_response_headers: fields.take_texts(
            "frontend_response_headers",
            headers,
            HeaderName::parse_any,
        ),
        backend_request_headers: fields.take_texts("backend_request_headers", headers, HeaderName::parse_any),
        backend_response_headers: fields.take_texts(
            "backend_response_headers",
            headers,
            HeaderName::parse_any,
        ),
    };
    fields.finish();
    taken
}

fn parse_query_name(text: &str) -> Result<Box<str>, String> {
    let is_name = (1..=QUERY_NAME_BYTES_MAX).contains(&text.len());
    is_name.then(|| text.into()).ok_or_else(|| {
        format!(
            "the name of a query parameter without percent-encoding, of 1 to {QUERY_NAME_BYTES_MAX} bytes"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fields::Document;

    fn parse(text: &str) -> Result<Diagnostics, Vec<String>> {
        let document = Document::parse("f.toml", text).expect("toml");
        let taken = take_diagnostics(document.fields());
        document.finish(Some(taken)).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn without_keys_all_is_logged_and_no_header_is_captured() {
        let none = Diagnostics::default();
        assert_eq!(parse(""), Ok(none.clone()));
        let in_force = Diagnostics::in_force(None, &none);
        assert_eq!(
            (in_force.sampling, in_force.always_log, in_force.verbosity),
            (Sampling(1_000_000), AlwaysLog::AllErrors, Verbosity::Verbose)
        );
        assert!(!in_force.captures_beyond_request() && in_force.frontend_request_headers.is_empty());
        assert!(in_force.query_names.is_empty() && !in_force.progress);
    }

    #[test]
    fn every_key_is_taken_and_an_apis_own_comes_before_the_instances() {
        let of_instance = parse(
            "sampling = 0.5\nalways_log = \"none\"\nverbosity = \"error\"\nquery_names = [\"room\"]\nprogress = true\n\
             frontend_request_headers = [\"User-Agent\", \"host\"]\nfrontend_response_headers = [\"Server\"]\n\
             backend_request_headers = [\"X-A\"]\nbackend_response_headers = [\"X-B\"]",
        )
        .expect("every key");
        let shown =
            |names: &[HeaderName]| names.iter().map(HeaderName::to_string).collect::<Vec<_>>().join(",");
        let all = |in_force: DiagnosticsInForce<'_>| {
            let lists = [
                in_force.frontend_request_headers,
                in_force.frontend_response_headers,
                in_force.backend_request_headers,
                in_force.backend_response_headers,
            ];
            let names = in_force.query_names.concat();
            let (sampling, always, verbosity) = (in_force.sampling, in_force.always_log, in_force.verbosity);
            let progress = in_force.progress;
            format!(
                "{} {} {} {names} {progress} {:?}",
                sampling.0,
                always.name(),
                verbosity.name(),
                lists.map(shown)
            )
        };
        let none = Diagnostics::default();
        let expected = "5000 none error room true [\"User-Agent,host\", \"Server\", \"X-A\", \"X-B\"]";
        assert_eq!(all(Diagnostics::in_force(None, &of_instance)), expected);
        assert_eq!(all(Diagnostics::in_force(Some(&none), &of_instance)), expected);
        assert_eq!(all(Diagnostics::in_force(Some(&of_instance), &none)), expected);
        let own = parse(
            "sampling = 100\nalways_log = \"allErrors\"\nverbosity = \"information\"\nquery_names = []\nprogress = false\n\
             frontend_request_headers = []\nfrontend_response_headers = [\"Date\"]\n\
             backend_request_headers = []\nbackend_response_headers = []",
        )
        .expect("every key");
        assert_eq!(
            all(Diagnostics::in_force(Some(&own), &of_instance)),
            "1000000 allErrors information  false [\"\", \"Date\", \"\", \"\"]"
        );
    }

    #[test]
    fn a_percentage_is_taken_at_its_bounds_and_refused_beyond() {
        for (good, millionths) in [
            ("0", 0),
            ("100", 1_000_000),
            ("100.0", 1_000_000),
            ("0.0001", 1),
            ("12.5", 125_000),
            ("+7", 70_000),
        ] {
            assert_eq!(
                parse(&format!("sampling = {good}")).expect(good).sampling,
                Some(Sampling(millionths))
            );
        }
        for bad in ["-1", "100.0001", "101", "0.00001", "1e1", "nan", "inf", "\"5\"", "true", "99999999999"] {
            let faults = parse(&format!("sampling = {bad}")).expect_err(bad);
            assert_eq!(
                faults,
                [format!(
                    "f.toml:1: sampling = {bad}: allowed is 0 to 100 percent, with at most four decimals"
                )]
            );
        }
    }

    #[test]
    fn lists_and_names_are_taken_at_their_bounds_and_refused_beyond() {
        let names =
            |count: usize| format!("{:?}", (0..count).map(|index| format!("n{index}")).collect::<Vec<_>>());
        for (key, good) in [
            ("query_names", names(64)),
            ("query_names", format!("[\"{}\"]", "n".repeat(256))),
            ("frontend_request_headers", names(32)),
            ("backend_response_headers", format!("[\"{}\"]", "n".repeat(256))),
        ] {
            assert!(parse(&format!("{key} = {good}")).is_ok(), "{key} = {good}");
        }
        for (key, bad) in [
            ("query_names", names(65)),
            ("query_names", "[\"\"]".to_owned()),
            ("query_names", format!("[\"{}\"]", "n".repeat(257))),
            ("query_names", "[\"a\", \"a\"]".to_owned()),
            ("frontend_request_headers", names(33)),
            ("frontend_response_headers", "[\"a b\"]".to_owned()),
            ("backend_request_headers", "[\"X-A\", \"x-a\"]".to_owned()),
            ("backend_response_headers", format!("[\"{}\"]", "n".repeat(257))),
            ("always_log", "\"errors\"".to_owned()),
            ("verbosity", "\"debug\"".to_owned()),
            ("progress", "60".to_owned()),
            ("samplng", "1".to_owned()),
        ] {
            let faults = parse(&format!("{key} = {bad}")).expect_err(&bad);
            assert!(faults.len() == 1 && faults[0].contains(&format!(": {key}")), "{faults:?}");
        }
    }

    #[test]
    fn sampling_takes_as_large_a_share_of_all_numbers_as_it_says() {
        const DRAWS: u32 = 1 << 16;
        let share = |sampling: Sampling| {
            let taken = (0..DRAWS).filter(|draw| sampling.takes(draw * (u32::MAX / DRAWS))).count();
            taken as f64 / f64::from(DRAWS) * 100.0
        };
        for sampling in [Sampling(0), Sampling(1_000_000), Sampling(250_000), Sampling(5_000)] {
            let difference = (share(sampling) - sampling.percentage()).abs();
            assert!(difference < 0.01, "{sampling:?}: {difference}");
        }
        assert!(Sampling(1_000_000).takes(u32::MAX) && !Sampling(0).takes(0));
        assert!(Sampling(1).takes(0) && !Sampling(999_999).takes(u32::MAX));
    }
}
