//! `ringgate manual [TOPIC]`: the manual, embedded in the binary, so that it always describes the version at hand.
//!
//! Not here: the pages (`src/manual/`), and their comparison with the code (`tests/tidy/manual.rs`).

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;

use super::output;

/// One page of the manual.
struct Topic {
    /// The name on the command line.
    name: &'static str,
    /// The page, in Markdown: a title, an empty line, and a summary in one line come first.
    text: &'static str,
}

impl Topic {
    /// Returns the summary: the page's third line.
    fn summary(&self) -> &'static str {
        self.text.lines().nth(2).unwrap_or_default()
    }
}

/// Every page, in the order of the list.
const TOPICS: [Topic; 7] = [
    Topic { name: "operator", text: include_str!("../manual/operator.md") },
    Topic { name: "service", text: include_str!("../manual/service.md") },
    Topic { name: "publisher", text: include_str!("../manual/publisher.md") },
    Topic { name: "reference", text: include_str!("../manual/reference.md") },
    Topic { name: "logs", text: include_str!("../manual/logs.md") },
    Topic { name: "performance", text: include_str!("../manual/performance.md") },
    Topic { name: "endings", text: include_str!("../manual/endings.md") },
];

/// The page to show.
#[derive(Debug, clap::Args)]
pub struct Manual {
    /// The page. Without it: the list of pages
    #[arg(value_parser = PossibleValuesParser::new(TOPICS.map(|topic| topic.name)), hide_possible_values = true)]
    topic: Option<String>,
}

impl Manual {
    /// Prints the page, or the list of pages. Exit code 0, also if the reader leaves early (`| head`).
    pub fn run(&self) -> ExitCode {
        let text = match &self.topic {
            Some(name) => {
                let topic = TOPICS.iter().find(|topic| topic.name == name);
                topic.expect("the command line accepts names of pages only").text.to_owned()
            }
            None => list(),
        };
        output::print(text.as_bytes())
    }
}

/// Returns one line for each page.
fn list() -> String {
    let mut text = String::new();
    for topic in &TOPICS {
        writeln!(text, "{:<12} {}", topic.name, topic.summary()).expect("writing to a String does not fail");
    }
    text + "\nringgate manual TOPIC shows a page.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_begins_with_a_title_and_a_summary_in_one_line() {
        for topic in &TOPICS {
            let lines: Vec<&str> = topic.text.lines().take(4).collect();
            let [title, before, summary, after] = lines[..] else { panic!("{} is too short", topic.name) };
            assert!(title.starts_with("# "), "{}: {title}", topic.name);
            assert_eq!((before, after), ("", ""), "{}: the summary stands alone", topic.name);
            assert!(summary.ends_with('.') && summary.len() <= 80, "{}: {summary}", topic.name);
        }
    }

    #[test]
    fn the_list_has_a_line_for_every_page() {
        let list = list();
        for topic in &TOPICS {
            assert!(list.lines().any(|line| line.starts_with(topic.name) && line.ends_with('.')), "{list}");
        }
    }
}
