//! `ringgate man [DIR]`: man pages, made of the command line itself and of `help`.
//!
//! Without a folder, ringgate(1) goes to standard output. With one, every command's page is written into it.
//!
//! Not here: the longer manual.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{exit, help, output};

/// The destination.
#[derive(Debug, clap::Args)]
pub struct ManPages {
    /// The folder to write a page for every command into. Without it, ringgate(1) goes to standard output
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl ManPages {
    /// Prints or writes the pages.
    pub fn run(&self) -> ExitCode {
        let pages = pages();
        let Some(folder) = &self.folder else { return output::print(&pages[0].text) };
        match write(folder, &pages) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let folder = folder.display();
                let _ = writeln!(io::stderr(), "ringgate: cannot write man pages to {folder}: {error}");
                exit::FAILED.into()
            }
        }
    }
}

fn write(folder: &Path, pages: &[Page]) -> io::Result<()> {
    pages.iter().try_for_each(|page| fs::write(folder.join(format!("{}.1", page.name)), &page.text))
}

/// One man page, of section 1.
#[derive(Debug)]
pub struct Page {
    /// `ringgate`, `ringgate-ctl`, `ringgate-ctl-status`.
    pub name: String,
    /// Its source for roff.
    pub text: Vec<u8>,
}

/// All pages, with the page of `ringgate` first.
pub fn pages() -> Vec<Page> {
    let mut top = super::documented().disable_help_subcommand(true);
    // Gives every command its whole name.
    top.build();
    let mut pages = Vec::new();
    add_pages(&mut pages, &top);
    pages
}

fn add_pages(pages: &mut Vec<Page>, command: &Command) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let text = page(command, &name).expect("writing to memory does not fail");
    pages.push(Page { name, text });
    command.get_subcommands().for_each(|inner| add_pages(pages, inner));
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let is_top = name == command.get_name();
    let examples = match command.get_after_help() {
        _ if is_top => help::RINGGATE.to_owned(),
        Some(examples) => examples.to_string(),
        None => String::new(),
    };
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .source(concat!("ringgate ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut more = Roff::new();
    add_examples(&mut more, &examples);
    let codes = exit::ALL.map(|exit| (exit.code.to_string(), exit.meaning));
    add_entries(&mut more, "EXIT STATUS", codes.iter().map(|(code, meaning)| (code.as_str(), *meaning)));
    if is_top || name == "ringgate-serve" {
        add_entries(&mut more, "SIGNALS", help::SIGNALS);
    }
    add_entries(&mut more, "ENVIRONMENT", help::ENVIRONMENT);
    if is_top {
        add_entries(&mut more, "FILES", help::FILES);
    } else {
        more.control("SH", ["SEE ALSO"]).text([bold("ringgate"), roman("(1)")]);
    }
    more.to_writer(&mut text)?;
    Ok(text)
}

/// The examples as they are typed, without their heading: a page has one of its own.
fn add_examples(roff: &mut Roff, examples: &str) {
    let mut lines = examples.lines().skip_while(|line| *line == "Examples:").peekable();
    if lines.peek().is_none() {
        return;
    }
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        roff.text([roman(line.trim_start())]);
    }
    roff.control("fi", []);
    for line in lines {
        roff.control("PP", []).text([roman(line)]);
    }
}

fn add_entries<'e>(roff: &mut Roff, heading: &str, entries: impl IntoIterator<Item = (&'e str, &'e str)>) {
    roff.control("SH", [heading]);
    for (name, meaning) in entries {
        roff.control("TP", []).text([bold(name)]).text([roman(meaning)]);
    }
}
