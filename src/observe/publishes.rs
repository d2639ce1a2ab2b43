//! The results of changes of the catalogue: how many were published and refused, and the details of the last one.
//!
//! The control thread writes it; the status page and others read it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::catalog::Revision;
use crate::catalog::timestamp::Timestamp;

/// The last catalogue that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastPublish {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub revision: Revision,
    /// The one that is served. It is the same unless the last one was refused.
    pub served: Revision,
    /// How many faults it was refused for. 0: it was published.
    pub fault_count: usize,
    /// The first of them, a line each, `FAULTS_TOLD_MAX` at most.
    pub faults: Vec<String>,
}

/// Counts publishes.
#[derive(Debug, Default)]
pub struct Publishes {
    published: AtomicU64,
    refused: AtomicU64,
    last: watch::Sender<Option<Arc<LastPublish>>>,
    hanging: watch::Sender<Vec<String>>,
}

impl Publishes {
    /// A catalogue was given to the workers, or was refused.
    pub fn note(&self, last: LastPublish) {
        let count = if last.fault_count == 0 { &self.published } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
        self.last.send_replace(Some(Arc::new(last)));
    }

    /// Files and folders whose file systems do not answer.
    pub fn note_hanging(&self, paths: Vec<String>) {
        self.hanging.send_replace(paths);
    }

    /// How many such there are.
    pub fn hanging(&self) -> u64 {
        self.hanging.borrow().len() as u64
    }

    /// Which they are.
    pub fn hanging_paths(&self) -> Vec<String> {
        self.hanging.borrow().clone()
    }

    /// How many were given to the workers, the one of the start included.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// How many were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The last one, if there was one.
    pub fn last(&self) -> Option<Arc<LastPublish>> {
        self.last.borrow().clone()
    }

    /// The last one and what hangs in lines, each behind `prefix`; nothing if there was none.
    pub fn describe(&self, prefix: &str) -> String {
        let hanging = self.hanging.borrow();
        let hanging =
            hanging.iter().map(|path| format!("{prefix}{path} does not answer: it cannot be looked at\n"));
        hanging.fold(self.describe_last(prefix), |text, line| text + &line)
    }

    fn describe_last(&self, prefix: &str) -> String {
        let Some(last) = self.last() else { return String::new() };
        let LastPublish { at, revision, served, fault_count: count, faults } = last.as_ref();
        if *count == 0 {
            return format!("{prefix}catalogue: revision {revision} was published {at}\n");
        }
        let plural = if *count == 1 { "" } else { "s" };
        let mut text = format!(
            "{prefix}catalogue: revision {revision} was refused {at} for {count} fault{plural}; served is {served}\n"
        );
        for fault in faults {
            writeln!(text, "{prefix}  {fault}").expect("writing to a String does not fail");
        }
        if let Some(more @ 1..) = count.checked_sub(faults.len()) {
            writeln!(text, "{prefix}  and {more} more, which `ringgate check` names")
                .expect("writing to a String does not fail");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CatalogFiles;

    #[test]
    fn counts_what_was_published_and_refused_and_describes_the_last() {
        let publishes = Publishes::default();
        assert_eq!(publishes.describe("# "), "");
        let served = Revision::of(&CatalogFiles::default());
        let last = |faults: &[&str], fault_count| LastPublish {
            at: Timestamp::from_unix(0),
            revision: served,
            served,
            fault_count,
            faults: faults.iter().map(|fault| fault.to_string()).collect(),
        };
        publishes.note(last(&[], 0));
        let text = format!("# catalogue: revision {served} was published 1970-01-01T00:00:00Z\n");
        assert_eq!(publishes.describe("# "), text);
        publishes.note(last(&["a.toml:1: x", "b.toml: y"], 2));
        let text = format!(
            "catalogue: revision {served} was refused 1970-01-01T00:00:00Z for 2 faults; served is {served}\n  a.toml:1: x\n  b.toml: y\n"
        );
        assert_eq!(publishes.describe(""), text);
        publishes.note(last(&["a.toml:1: x"], 12));
        assert!(
            publishes.describe("").ends_with("  a.toml:1: x\n  and 11 more, which `ringgate check` names\n")
        );
        assert_eq!((publishes.published(), publishes.refused()), (1, 2));
        publishes.note_hanging(vec!["/net/a.pem".to_owned()]);
        assert!(
            publishes.describe("# ").ends_with("\n# /net/a.pem does not answer: it cannot be looked at\n")
        );
        assert_eq!(publishes.hanging(), 1);
    }
}
