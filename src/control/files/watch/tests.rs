use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

/// Within which everything is to be told.
const IN_TIME: Duration = Duration::from_secs(1);

fn catalogue() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir_all(folder.path().join("catalog/apis")).expect("a folder");
    fs::write(folder.path().join("catalog/apis/a.toml"), "1").expect("a file");
    folder
}

fn watch(folder: &TempDir) -> CatalogWatch {
    CatalogWatch::start(folder.path().join("catalog"))
}

async fn told(watch: &mut CatalogWatch) -> Changed {
    timeout(IN_TIME, watch.changed()).await.expect("a change is told in time")
}

fn files(paths: &[&str]) -> Changed {
    Changed::Files(paths.iter().map(|path| path.to_string()).collect())
}

#[tokio::test]
async fn a_file_that_is_written_moved_or_removed_is_told() {
    let folder = catalogue();
    let apis = folder.path().join("catalog/apis");
    let mut watch = watch(&folder);
    fs::write(apis.join("a.toml"), "2").unwrap();
    assert_eq!(told(&mut watch).await, files(&["apis/a.toml"]));
    fs::write(apis.join(".b"), "2").unwrap();
    fs::rename(apis.join(".b"), apis.join("b.toml")).unwrap();
    assert_eq!(told(&mut watch).await, files(&["apis/b.toml"]));
    fs::rename(apis.join("b.toml"), apis.join("c.toml")).unwrap();
    assert_eq!(told(&mut watch).await, files(&["apis/b.toml", "apis/c.toml"]));
    fs::remove_file(apis.join("c.toml")).unwrap();
    assert_eq!(told(&mut watch).await, files(&["apis/c.toml"]));
    fs::hard_link(apis.join("a.toml"), apis.join("d.toml")).unwrap();
    // The link is told, and that the other name's file has one more.
    let Changed::Files(linked) = told(&mut watch).await else { panic!("files") };
    assert!(linked.contains("apis/d.toml"), "{linked:?}");
    fs::write(folder.path().join("catalog/named-values.toml"), "").unwrap();
    assert_eq!(told(&mut watch).await, files(&["named-values.toml"]));
}

#[tokio::test]
async fn names_that_are_not_read_are_not_told() {
    let folder = catalogue();
    let mut watch = watch(&folder);
    for name in ["catalog/apis/.ringgate-unfinished", "catalog/apis/a.toml~", "catalog/x.toml", "other"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    fs::write(folder.path().join("catalog/apis/a.toml"), "2").unwrap();
    assert_eq!(told(&mut watch).await, files(&["apis/a.toml"]), "and nothing of what came before");
}

#[tokio::test]
async fn many_changes_at_once_are_told_together() {
    let folder = catalogue();
    let mut watch = watch(&folder);
    let all: Vec<String> = (0..300).map(|index| format!("apis/n{index}.toml")).collect();
    for path in &all {
        fs::write(folder.path().join("catalog").join(path), "x").unwrap();
    }
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(told(&mut watch).await, files(&all));
}

#[tokio::test]
async fn a_steady_stream_of_changes_holds_nothing_up() {
    let folder = catalogue();
    let mut watch = watch(&folder);
    let path = folder.path().join("catalog/apis/a.toml");
    let stream = async {
        loop {
            fs::write(&path, "x").unwrap();
            tokio::time::sleep(CATALOG_QUIET / 5).await;
        }
    };
    tokio::select! {
        () = stream => {}
        changed = told(&mut watch) => assert_eq!(changed, files(&["apis/a.toml"])),
    }
}

#[tokio::test]
async fn folders_that_come_later_are_watched_too() {
    let folder = catalogue();
    let catalog = folder.path().join("catalog");
    let mut watch = watch(&folder);
    fs::create_dir_all(catalog.join("policies/apis")).unwrap();
    assert_eq!(told(&mut watch).await, Changed::Everything);
    fs::write(catalog.join("policies/apis/a.xml"), "<p/>").unwrap();
    assert_eq!(told(&mut watch).await, files(&["policies/apis/a.xml"]));
    fs::remove_dir_all(catalog.join("apis")).unwrap();
    assert_eq!(told(&mut watch).await, Changed::Everything);
    fs::create_dir(catalog.join("apis")).unwrap();
    assert_eq!(told(&mut watch).await, Changed::Everything);
    fs::write(catalog.join("apis/a.toml"), "1").unwrap();
    assert_eq!(told(&mut watch).await, files(&["apis/a.toml"]));
}

#[tokio::test]
async fn a_catalogue_that_is_replaced_as_a_whole_is_told_however_that_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for release in ["releases/1/catalog/apis", "releases/2/catalog/apis"] {
        fs::create_dir_all(root.join(release)).unwrap();
    }
    // A link on the way, relative, to a folder of releases; and the catalogue itself a link through it.
    symlink("releases/1", root.join("current")).unwrap();
    symlink("current/catalog", root.join("catalog")).unwrap();
    let mut watch = watch(&folder);
    symlink("releases/2", root.join("next")).unwrap();
    fs::rename(root.join("next"), root.join("current")).unwrap();
    assert_eq!(told(&mut watch).await, Changed::Everything);
    fs::write(root.join("releases/2/catalog/apis/a.toml"), "1").unwrap();
    assert_eq!(told(&mut watch).await, files(&["apis/a.toml"]), "the one that it leads to is watched");

    fs::rename(root.join("releases/2/catalog"), root.join("releases/2/away")).unwrap();
    assert_eq!(told(&mut watch).await, Changed::Everything);
    fs::create_dir_all(root.join("releases/2/catalog/apis")).unwrap();
    assert_eq!(told(&mut watch).await, Changed::Everything);
}

#[tokio::test]
async fn files_that_lead_elsewhere_through_one_link_are_told() {
    let folder = catalogue();
    let apis = folder.path().join("catalog/apis");
    // As configurations are mounted into containers.
    for version in ["..v1", "..v2"] {
        fs::create_dir(apis.join(version)).unwrap();
        fs::write(apis.join(version).join("m.toml"), version).unwrap();
    }
    symlink("..v1", apis.join("..data")).unwrap();
    symlink("..data/m.toml", apis.join("m.toml")).unwrap();
    let mut watch = watch(&folder);
    symlink("..v2", apis.join("..new")).unwrap();
    fs::rename(apis.join("..new"), apis.join("..data")).unwrap();
    assert_eq!(told(&mut watch).await, Changed::Everything);
}

#[tokio::test(start_paused = true)]
async fn everything_is_looked_at_once_in_a_while_though_nothing_is_told() {
    let folder = catalogue();
    let mut watch = watch(&folder);
    let begun = Instant::now();
    for round in 1..=3 {
        assert_eq!(watch.changed().await, Changed::Everything);
        let passed = begun.elapsed();
        assert!(passed >= CATALOG_LOOK_INTERVAL * round && passed < CATALOG_LOOK_INTERVAL * (round + 1));
    }
}

#[tokio::test]
async fn a_wait_that_is_dropped_loses_nothing() {
    let folder = catalogue();
    let mut watch = watch(&folder);
    fs::write(folder.path().join("catalog/apis/a.toml"), "2").unwrap();
    // It is gathered for longer than these waits, unless the machine is slow: then one of them is told.
    let mut changed = None;
    for _ in 0..20 {
        let waited = timeout(Duration::from_millis(1), watch.changed()).await;
        changed = changed.or(waited.ok());
        if changed.is_some() {
            break;
        }
    }
    let changed = match changed {
        Some(changed) => changed,
        None => told(&mut watch).await,
    };
    assert_eq!(changed, files(&["apis/a.toml"]));
}

#[tokio::test]
async fn a_queue_that_was_full_is_a_look_at_everything() {
    let folder = catalogue();
    let mut watch = watch(&folder);
    let text = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let queued_max: usize = text.trim().parse().unwrap();
    let apis = folder.path().join("catalog/apis");
    // Nobody takes an event meanwhile; each file is two.
    for index in 0..=queued_max / 2 {
        fs::write(apis.join(format!(".{index}")), "").unwrap();
    }
    assert_eq!(told(&mut watch).await, Changed::Everything);
    fs::write(apis.join("a.toml"), "2").unwrap();
    assert_eq!(told(&mut watch).await, files(&["apis/a.toml"]), "and it goes on");
}

#[test]
fn changes_join_to_all_that_each_of_them_says() {
    let mut changed = files(&["a"]);
    changed.join(files(&["b"]));
    assert_eq!(changed, files(&["a", "b"]));
    changed.join(Changed::Everything);
    changed.join(files(&["c"]));
    assert_eq!(changed, Changed::Everything);
}
