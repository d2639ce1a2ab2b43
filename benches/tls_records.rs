//! What a record costs: sealed, and opened in place.
//!
//! 64 B is a small message, 1 KiB a usual one, 16 KiB the most that a record holds.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringgate::tls::record::{DirectionState, LegRecords, Records, Role, Step, Suite, Version};

fn leg(suite: Suite, role: Role) -> LegRecords {
    let direction = || match suite.version {
        Version::Tls13 => DirectionState::from_secret(suite, &vec![7; suite.secret_bytes()], 0),
        Version::Tls12 => DirectionState::from_keys(suite, &vec![7; suite.aead.key_bytes()], [7; 12], 1),
    };
    LegRecords::new(role, direction().unwrap(), direction().unwrap())
}

fn records(criterion: &mut Criterion) {
    for suite in Suite::ALL.into_iter().filter(|suite| suite.version == Version::Tls13) {
        for content_bytes in [64, 1024, 16 * 1024] {
            let content = vec![0x5a; content_bytes];
            let mut group = criterion.benchmark_group(format!("{:?}/{content_bytes}", suite.aead));
            group.throughput(Throughput::Bytes(content_bytes as u64));

            let mut sender = leg(suite, Role::Client);
            let mut out = vec![0; sender.sealed_bytes(content_bytes)];
            group.bench_function("seal", |bencher| {
                bencher.iter(|| sender.seal(&[&content], &mut out).unwrap());
            });
            let pieces = content.split_at(content_bytes / 3);
            group.bench_function("seal in two pieces", |bencher| {
                bencher.iter(|| sender.seal(&[pieces.0, pieces.1], &mut out).unwrap());
            });
            // The receiver goes with the sender's numbers: each record is made anew, outside of what is measured.
            let (mut sender, mut receiver) = (leg(suite, Role::Client), leg(suite, Role::Server));
            group.bench_function("open", |bencher| {
                let make = || {
                    let mut out = vec![0; sender.sealed_bytes(content_bytes)];
                    sender.seal(&[&content], &mut out).unwrap();
                    out
                };
                bencher.iter_batched_ref(
                    make,
                    |record| {
                        let step = receiver.open(record, &mut 0).unwrap();
                        assert!(matches!(step, Step::Plaintext(_)));
                    },
                    BatchSize::SmallInput,
                );
            });
            let mut idle = leg(suite, Role::Client);
            group.bench_function("seal after a rest", |bencher| {
                bencher.iter(|| {
                    idle.rest();
                    idle.seal(&[&content], &mut out).unwrap()
                });
            });
            group.finish();
        }
    }
}

criterion_group!(benches, records);
criterion_main!(benches);
