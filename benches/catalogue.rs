//! The cost of a catalogue: routing and keys per opening, which must not grow with it; and loading, compiling and publishing the
//! whole, which happens at each change.

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use ringgate::admission::registry::Registry;
use ringgate::catalog::given_key::GivenKey;
use ringgate::catalog::subscription_key::KeyHasher;
use ringgate::catalog::timestamp::Timestamp;
use ringgate::catalog::{CatalogFiles, Revision};
use ringgate::compiled::compile::Compiler;
use ringgate::compiled::{Snapshot, compile};
use ringgate::control::files::store::{read_again, read_catalog};
use ringgate::head::RequestHead;

/// How many APIs and subscriptions there are.
const SIZES: [(usize, usize); 2] = [(10, 10), (10_000, 50_000)];
const PRODUCTS: usize = 10;

fn hasher() -> KeyHasher {
    KeyHasher::new(&[7; 32])
}

fn key(index: usize) -> String {
    format!("{index:032x}")
}

fn files((apis, subscriptions): (usize, usize)) -> CatalogFiles {
    let mut files = CatalogFiles::default();
    let hasher = hasher();
    for index in 0..PRODUCTS {
        let text = format!("display_name = \"Product {index}\"\nstate = \"published\"\n");
        files.insert(&format!("products/p{index}.toml"), text);
    }
    for index in 0..apis {
        let text = format!(
            "display_name = \"API {index}\"\nurl = \"ws://10.0.0.1:9001/socket\"\nschemes = [\"ws\", \"wss\"]\n\
             suffix = \"team{}/api{index}\"\nproducts = [\"p{}\"]\n",
            index % 100,
            index % PRODUCTS
        );
        files.insert(&format!("apis/a{index}.toml"), text);
    }
    for index in 0..subscriptions {
        let text = format!(
            "display_name = \"Subscription {index}\"\nscope = \"/products/p{}\"\nprimary_key_hash = \"{}\"\n\
             secondary_key_hash = \"{}\"\n",
            index % PRODUCTS,
            hasher.text_of(key(2 * index).as_bytes()),
            hasher.text_of(key(2 * index + 1).as_bytes())
        );
        files.insert(&format!("subscriptions/s{index}.toml"), text);
    }
    files
}

fn snapshot(files: &CatalogFiles) -> Snapshot {
    compile(files, None).expect("no fault").with_key_hasher(hasher())
}

/// The look-ups of an opening: many different ones in turn, so that not all they touch is in the cache.
fn per_opening(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("catalogue_per_opening");
    for size in SIZES {
        let (apis, subscriptions) = size;
        let snapshot = snapshot(&files(size));
        let paths: Vec<String> =
            (0..apis).map(|index| format!("/team{}/api{index}/room/7", index % 100)).collect();
        let mut turn = (0..).step_by(7_919);
        group.bench_function(format!("route_{apis}_apis"), |bencher| {
            bencher.iter(|| {
                let index: usize = turn.next().expect("no end");
                let routed = snapshot.route(black_box(&paths[index % apis])).expect("a path in order");
                routed.expect("an api").rest.len()
            });
        });
        // The subscription of number n is of product n modulo their number, and so is the API.
        let heads: Vec<RequestHead> = (0..subscriptions)
            .map(|index| {
                let key = key(2 * index);
                let head = format!("GET / HTTP/1.1\r\nHost: h\r\nOcp-Apim-Subscription-Key: {key}\r\n\r\n");
                RequestHead::parse(Bytes::from(head)).expect("a head in order")
            })
            .collect();
        let now = Timestamp::from_unix(1_800_000_000);
        let apis_of_products: Vec<_> = (0..PRODUCTS)
            .map(|index| {
                let routed = snapshot.route(&paths[index]).expect("a path in order");
                std::sync::Arc::clone(routed.expect("an api").api)
            })
            .collect();
        group.bench_function(format!("key_of_{subscriptions}_subscriptions"), |bencher| {
            bencher.iter(|| {
                let index: usize = turn.next().expect("no end") % subscriptions;
                let api = &apis_of_products[index % PRODUCTS];
                let given = GivenKey::find(&api.key_names, heads[index].headers(), None);
                snapshot.access(api, black_box(&given), now).expect("a valid key").subscription.is_some()
            });
        });
    }
    group.finish();
}

/// The cost of a start and of a change, with the largest catalogue.
fn per_change(criterion: &mut Criterion) {
    let mut files = files(SIZES[1]);
    let mut group = criterion.benchmark_group("catalogue_per_change");
    group.sample_size(10).warm_up_time(Duration::from_millis(500));

    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in files.iter() {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder");
        fs::write(path, text.expect("a text").as_bytes()).expect("a file");
    }
    group.bench_function("read_60010_files", |bencher| bencher.iter(|| read_catalog(folder.path())));
    group.bench_function("compile_from_nothing", |bencher| bencher.iter(|| compile(&files, None)));
    group.bench_function("load_60010_files", |bencher| {
        bencher.iter(|| compile(&read_catalog(folder.path()), None).expect("no fault"));
    });

    let mut compiler = Compiler::default();
    let mut registry = Registry::default();
    let now = Timestamp::from_unix(1_800_000_000);
    let mut published = registry.publish(&compiler.compile(&files, None).expect("no fault"), now);
    let mut round = 0;
    group.bench_function("publish_one_change", |bencher| {
        bencher.iter(|| {
            round += 1;
            let text = format!(
                "display_name = \"API {round}\"\nurl = \"ws://10.0.0.2:9001\"\nsuffix = \"team0/api0\"\n"
            );
            files.insert("apis/a0.toml", text);
            let snapshot = compiler.compile(&files, None).expect("no fault");
            published = registry.publish(&snapshot, now);
            snapshot
        });
    });
    // The part of it for which the control thread is not to be kept waiting.
    let snapshot = compiler.compile(&files, None).expect("no fault");
    group.bench_function("places_of_60010_entities", |bencher| {
        bencher.iter_with_large_drop(|| std::mem::replace(&mut published, registry.publish(&snapshot, now)));
    });
    drop(published);

    // As the publisher does it: only what the watch names is read.
    let mut files = read_catalog(folder.path());
    let mut registry = Registry::default();
    let mut published = registry.publish(&compiler.compile(&files, None).expect("no fault"), now);
    group.bench_function("take_up_one_changed_file", |bencher| {
        // What is replaced is freed later, by `Instance::let_go_of_retired`.
        bencher.iter_with_large_drop(|| {
            round += 1;
            let text = format!(
                "display_name = \"API {round}\"\nurl = \"ws://10.0.0.2:9001\"\nsuffix = \"team0/api0\"\n"
            );
            fs::write(folder.path().join("apis/a0.toml"), text).expect("a file");
            read_again(folder.path(), "apis/a0.toml", &mut files);
            let snapshot = compiler.compile(&files, None).expect("no fault").with_key_hasher(hasher());
            let replaced = std::mem::replace(&mut published, registry.publish(&snapshot, now));
            (snapshot, replaced, Revision::of(&files))
        });
    });
    group.bench_function("revision_of_60010_files", |bencher| bencher.iter(|| Revision::of(&files)));
    drop(published);
    group.finish();
}

criterion_group!(benches, per_opening, per_change);
criterion_main!(benches);
