//! How many bytes each session, and each opening, takes of its own: `tests/golden/sizes.txt`.
//!
//! An instance has very many of these, so that a field costs what it is worth. What is larger than before shows in the diff of the
//! golden file, and has to be worth it. To watch another type, add a line to the table; the module of a private one says its size.
//!
//! Not here: buffers and the kernel's share. An idle session owns no buffer.

use std::mem::size_of;
use std::os::fd::OwnedFd;

use crate::admission::permit::Permit;
use crate::observe::SessionRecord;
use crate::relay::carrier::Carrier;
use crate::session::{Effect, Session};
use crate::tls::record::LegRecords;
use crate::websocket::scanner::Scanner;

#[test]
fn what_there_is_one_of_for_each_session_or_opening_is_as_large_as_expected() {
    let table = [
        (
            "session slot",
            crate::relay::session_slot_bytes(),
            "a session in its relay: the session, where its legs are, the permit, the record",
        ),
        ("session", size_of::<Session>(), "its rules, timers and both legs"),
        ("scanner", size_of::<Scanner>(), "one for each leg of a session"),
        ("carrier", size_of::<Carrier<OwnedFd>>(), "one for each leg: its socket, its receive, its sends"),
        ("permit", size_of::<Permit>(), "the places that a session holds"),
        ("record", size_of::<SessionRecord>(), "who a session is of, from where to where, since when"),
        (
            "record layer",
            size_of::<LegRecords>(),
            "one for each leg under TLS, without the ciphers of a leg in use",
        ),
        ("effect", size_of::<Effect>(), "what a session wants done; a list of them is reused"),
        (
            "opening future",
            crate::front::opening_bytes(),
            "an opening until its session is handed over, or refused",
        ),
    ];
    let lines = table.map(|(name, bytes, what)| format!("{name:<16}{bytes:>8}  {what}\n"));
    let head = "Bytes of what there is one of, or two, for each session or each opening.\n\n";
    super::text::assert_golden("sizes.txt", &format!("{head}{}", lines.concat()));
}
