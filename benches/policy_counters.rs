//! The cost of counting a handshake: a known key, a new key, a flood, and one key of two threads.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use ringgate::policy::counters::{CounterFamily, CounterKeys, CounterOp, Counters as _, KeyOwner, Rate};
use ringgate::shared_counts::policy_counters::SharedCounters;

const RATE: Rate = Rate { calls: u64::MAX, period_ms: 60_000 };

fn policy_counters(criterion: &mut Criterion) {
    let keys = CounterKeys::new(&[7; 32]);
    let family = CounterFamily::new("rate-limit-by-key");
    let mut group = criterion.benchmark_group("policy_counters");
    group.bench_function("make_a_key", |bencher| bencher.iter(|| keys.key(&family, black_box(b"192.0.2.1"))));

    let counters = SharedCounters::default();
    let key = keys.key(&family, b"192.0.2.1");
    let mut now_ms = 0;
    group.bench_function("a_known_key", |bencher| {
        bencher.iter(|| {
            now_ms += 1;
            counters.rate(KeyOwner::Policies, black_box(&key), &RATE, CounterOp::Take(1), now_ms)
        });
    });

    // More keys than there is room for, and none of them is over.
    let counters = SharedCounters::default();
    let mut name = 0_u64;
    group.bench_function("a_flood_of_keys", |bencher| {
        bencher.iter(|| {
            name += 1;
            let key = keys.key(&family, &name.to_le_bytes());
            counters.rate(
                KeyOwner::Policies,
                &key,
                &RATE,
                CounterOp::Take(1),
                i64::try_from(name / 1000).unwrap_or(0),
            )
        });
    });

    let counters = SharedCounters::default();
    group.bench_function("one_key_of_two_threads", |bencher| {
        bencher.iter_custom(|rounds| {
            let barrier = Barrier::new(2);
            #[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
            let took = || {
                barrier.wait();
                let started = Instant::now();
                for round in 0..rounds {
                    let now_ms = i64::try_from(round / 1000).unwrap_or(0);
                    let _ =
                        black_box(counters.rate(KeyOwner::Policies, &key, &RATE, CounterOp::Take(1), now_ms));
                }
                started.elapsed()
            };
            std::thread::scope(|scope| {
                let other = scope.spawn(took);
                took().max(other.join().expect("counting does not panic"))
            })
        });
    });
    group.finish();
}

criterion_group!(benches, policy_counters);
criterion_main!(benches);
