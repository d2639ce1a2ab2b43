//! Tests of the judgement, on facts of other hosts than this one.

use std::io;

use super::*;
use crate::config::TierUnits;
use crate::limits::TIERS;

const NEEDS: HostNeeds = HostNeeds {
    workers: 2,
    room: RequestedRoom { sessions: SessionsFrom::OpenFiles, openings: None },
    other_open_files: 0,
};

fn facts() -> HostFacts {
    HostFacts {
        unit: None,
        ring: Ok(()),
        open_files: 1_048_576,
        locked_memory: u64::MAX,
        is_ring_memory_counted: true,
        threads: Vec::new(),
    }
}

fn told(facts: HostFacts, needs: &HostNeeds) -> (Vec<String>, Vec<String>) {
    let Judgement { faults, warnings } = judge(facts, needs);
    (faults.iter().map(ToString::to_string).collect(), warnings)
}

#[test]
fn a_host_that_has_everything_is_judged_without_a_word() {
    assert_eq!(told(facts(), &NEEDS), (vec![], vec![]));
}

#[test]
fn eight_mib_of_locked_memory_hold_eighteen_workers_and_not_thirty_two() {
    let with = |workers, locked_memory| {
        told(HostFacts { locked_memory, ..facts() }, &HostNeeds { workers, ..NEEDS }).0
    };
    assert_eq!(with(18, 8 << 20), [""; 0]);
    assert_eq!(
        with(32, 8 << 20),
        [
            "cannot hold the rings of 32 workers: they need 14284 KiB of locked memory, and the limit is 8192 KiB; raise \
          LimitMEMLOCK= in the unit or ulimit -l to 14284 KiB or more, or lower workers to 18"
        ]
    );
    assert_eq!(with(32, 14_284 << 10), [""; 0], "what was said to be enough is");
    assert!(with(1, 64 << 10)[0].ends_with("ulimit -l to 768 KiB or more"), "no number of workers fits");
}

#[test]
fn locked_memory_is_no_matter_where_the_kernel_does_not_count_it() {
    let facts = HostFacts { locked_memory: 0, is_ring_memory_counted: false, ..facts() };
    assert_eq!(told(facts, &HostNeeds { workers: 256, ..NEEDS }), (vec![], vec![]));
}

#[test]
fn threads_are_counted_against_every_limit_with_those_that_are_there() {
    let with = |from, limit, used| {
        let threads = vec![
            ThreadRoom { from: ThreadLimit::ControlGroup, limit: 10_000, used: 9 },
            ThreadRoom { from, limit, used },
        ];
        told(HostFacts { threads, ..facts() }, &NEEDS).0
    };
    assert_eq!(with(ThreadLimit::User, 120, 100), [""; 0]);
    assert_eq!(
        with(ThreadLimit::User, 119, 100),
        [
            "cannot start the 20 threads of 2 workers: the user may have 119 and has 100; raise LimitNPROC= in the unit or \
          ulimit -u to 120 or more, or lower workers"
        ]
    );
    assert_eq!(
        with(ThreadLimit::ControlGroup, 19, 0),
        [
            "cannot start the 20 threads of 2 workers: the control group may have 19 and has 0; raise TasksMax= in the unit or \
          pids.max to 20 or more, or lower workers"
        ]
    );
}

#[test]
fn few_sessions_are_worth_a_warning_unless_they_were_asked_for() {
    let few = || HostFacts { open_files: 664, ..facts() };
    assert_eq!(
        told(few(), &NEEDS),
        (
            vec![],
            vec![
                "only 12 sessions will fit: the limit of open files is 664; raise LimitNOFILE= in the unit or ulimit -n, or set \
                 limits.connections_max to say that this is enough"
                    .to_owned()
            ]
        )
    );
    let of_unit = HostFacts { unit: Some("ringgate.service".to_owned()), ..few() };
    assert!(told(of_unit, &NEEDS).1[0].contains("the limit of open files of ringgate.service is 664"));
    let room = RequestedRoom { sessions: SessionsFrom::ConnectionsMax(12), openings: None };
    assert_eq!(told(few(), &HostNeeds { room, ..NEEDS }), (vec![], vec![]));
}

#[test]
fn a_host_that_lacks_everything_is_told_all_of_it() {
    let facts = HostFacts {
        ring: Err(ProbeError::from_set_up(io::Error::from_raw_os_error(libc::EPERM), Some(2), "6.6.0")),
        open_files: 64,
        locked_memory: 0,
        threads: vec![ThreadRoom { from: ThreadLimit::User, limit: 1, used: 1 }],
        ..facts()
    };
    let tier = TierUnits { tier: &TIERS[1], units: 1 };
    let room = RequestedRoom { sessions: SessionsFrom::Tier(tier), openings: None };
    let (faults, warnings) = told(facts, &HostNeeds { room, ..NEEDS });
    let starts = [
        "cannot set up ring: io_uring disabled",
        "cannot hold 5000 sessions",
        "cannot hold the rings",
        "cannot start the 20",
    ];
    assert_eq!(faults.len(), starts.len(), "{faults:#?}");
    for (fault, start) in faults.iter().zip(starts) {
        assert!(fault.starts_with(start), "{fault}");
    }
    assert_eq!(warnings, [""; 0]);
}
