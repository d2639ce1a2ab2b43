//! Reads the instance file and the catalogue's folder, all of it or single files again.
//!
//! Either everything is without fault, or every fault of every file is told at once, the files in the order of their
//! names; only when the instance file leaves open where the catalogue is, the catalogue has to wait. Nothing is read
//! past `CONFIG_FILE_BYTES_MAX`, and nothing but regular files.
//!
//! In the folders of entities `*.toml` is read, in those of policy documents `*.xml`; hidden files and other names are left
//! alone, so that an editor's copies do no harm.
//!
//! Not here: what is a fault (`catalog`), noticing that files changed (`watch`), writing (`writer`).

use core::net::SocketAddr;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::catalog::named_value::NAMED_VALUES_FILE;
use crate::catalog::{CatalogFiles, Fault, Name, Revision};
use crate::compiled::{Snapshot, compile};
use crate::config::instance::catalog_folder;
use crate::config::{InstanceConfig, parse_instance};
use crate::limits::CONFIG_FILE_BYTES_MAX;
use crate::process::files::watchdog::attempt;
use crate::process::files::{Unreadable, read_small, reason};

/// Folders of entities. The first must be there.
pub(super) const ENTITY_FOLDERS: [&str; 5] =
    ["apis", "gateways", "products", "subscriptions", "version-sets"];

/// The folder of policy documents, with a folder for each scope in it. Deeper documents have no scope; they are read
/// only to be refused, because a document that never runs would be a rule that is never enforced.
pub(super) const POLICY_FOLDER: &str = "policies";

/// The greatest depth below that folder at which documents are searched for: that of `apis/chat/operations/send`.
const POLICY_FOLDER_DEPTH_MAX: usize = 4;

/// The requirements for a readable file, in the words of a fault.
const READABLE_FILE: &str = "it has to be a regular file that this user can read";

/// The parts that an instance needs to start.
#[derive(Debug)]
pub struct Loaded {
    /// The instance's own configuration.
    pub config: InstanceConfig,
    /// The catalogue, for the instance's gateway. It has no keys yet: those need the instance's secret.
    pub snapshot: Snapshot,
    /// The revision of the files.
    pub revision: Revision,
}

/// Reads the instance file `config` and the catalogue that it names.
///
/// # Errors
/// Every fault of all the files, unreadable ones included.
pub fn load(config: &Path) -> Result<Loaded, Vec<Fault>> {
    let file = config.display().to_string();
    let text = read_text(config, &file).map_err(|fault| vec![fault])?;
    let instance = parse_instance(&file, &text);
    // Where the instance file is at fault about the folder itself, the catalogue has to wait.
    let folder = catalog_folder(&text);
    let files = folder.as_ref().map(|folder| read_catalog(&beside(config, folder)));
    let gateway = instance.as_ref().ok().and_then(|config| config.gateway.as_ref()).map(Name::as_str);
    let files = files.unwrap_or_default();
    let snapshot = if folder.is_some() { compile(&files, gateway) } else { Ok(Snapshot::default()) };
    match (instance, snapshot) {
        (Ok(config), Ok(snapshot)) => {
            let snapshot = snapshot.with_default_schemes(config.default_schemes());
            Ok(Loaded { config, snapshot, revision: Revision::of(&files) })
        }
        (instance, snapshot) => {
            let faults = [instance.err(), snapshot.err()];
            Err(faults.into_iter().flatten().flatten().collect())
        }
    }
}

/// The built-in start without files: the default instance, and one API, `echo`, whose backend is at `echo_address`.
pub fn built_in(echo_address: SocketAddr) -> Loaded {
    let api = format!(
        "display_name = \"Echo\"\ndescription = \"Sends back what it receives.\"\nurl = \"ws://{echo_address}\"\n\
         suffix = \"echo\"\nsubscription_required = false\n"
    );
    let mut files = CatalogFiles::default();
    files.insert("apis/echo.toml", api);
    let snapshot = compile(&files, None).expect("the api is without fault whatever its backend's address");
    Loaded { config: InstanceConfig::default(), snapshot, revision: Revision::of(&files) }
}

/// A file or folder that `config` names, as seen from the folder of `config`. An absolute one stays as it is.
pub fn beside(config: &Path, named: &str) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(named)
}

/// Reads every file of a catalogue that may be an entity or a policy document. An unreadable file is included with its fault.
pub fn read_catalog(catalog: &Path) -> CatalogFiles {
    let mut files = CatalogFiles::default();
    // The folder first: where its file system does not answer, the rest is not asked for.
    let _ = metadata(catalog);
    for folder in ENTITY_FOLDERS {
        read_folder(catalog, folder, "toml", &mut files);
    }
    for folder in policy_folders(catalog) {
        read_folder(catalog, &folder, "xml", &mut files);
    }
    // Other files beside the folders may be anybody's: the instance file often is there.
    if metadata(&catalog.join(NAMED_VALUES_FILE)).is_ok() {
        read_file(catalog, NAMED_VALUES_FILE, &mut files);
    }
    files
}

/// Reads one file of a catalogue again: `files` has its text or its fault afterwards, or no longer has the file. A path outside
/// the catalogue's files changes nothing.
pub fn read_again(catalog: &Path, path: &str, files: &mut CatalogFiles) {
    if !is_catalog_file(path) {
        return;
    }
    match metadata(&catalog.join(path)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            files.remove(path);
        }
        Ok(_) | Err(_) => read_file(catalog, path, files),
    }
}

/// Whether a path, seen from a catalogue's folder, is one that is read.
pub fn is_catalog_file(path: &str) -> bool {
    if path == NAMED_VALUES_FILE {
        return true;
    }
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    let may_hold = |below: &str| {
        let mut parts = below.split('/');
        parts
            .by_ref()
            .take(POLICY_FOLDER_DEPTH_MAX)
            .all(|part| !part.is_empty() && !is_hidden(OsStr::new(part)))
            && parts.next().is_none()
    };
    let extension = match folder.strip_prefix(POLICY_FOLDER) {
        Some("") => "xml",
        Some(rest) if rest.strip_prefix('/').is_some_and(may_hold) => "xml",
        Some(_) | None if ENTITY_FOLDERS.contains(&folder) => "toml",
        Some(_) | None => return false,
    };
    has_extension(OsStr::new(name), extension) && !name.contains('\0')
}

/// Whether a path, seen from a catalogue's folder, is that of a folder, or of a link to one, that is always read.
pub fn is_catalog_folder(path: &str) -> bool {
    path == POLICY_FOLDER || ENTITY_FOLDERS.contains(&path)
}

/// The folders that files of a catalogue are in, whether they are there or not.
pub fn folders_of(catalog: &Path) -> Vec<PathBuf> {
    let entities = ENTITY_FOLDERS.iter().map(|folder| catalog.join(folder));
    let policies = policy_folders(catalog).into_iter().map(|folder| catalog.join(folder));
    std::iter::once(catalog.to_owned()).chain(entities).chain(policies).collect()
}

/// The folder of policy documents and all in it, seen from the catalogue's. What is not UTF-8 in a name becomes a character
/// that no scope has.
fn policy_folders(catalog: &Path) -> Vec<String> {
    let mut found = vec![POLICY_FOLDER.to_owned()];
    let mut begun = 0;
    for _ in 0..POLICY_FOLDER_DEPTH_MAX {
        let level = begun..found.len();
        begun = found.len();
        for index in level {
            let inside = folders_in(&catalog.join(&found[index]));
            let inside: Vec<String> =
                inside.iter().map(|name| format!("{}/{}", found[index], name.display())).collect();
            found.extend(inside);
        }
    }
    found
}

/// The fault of a file that is larger than what is read.
pub(super) fn too_large(file: &str) -> Fault {
    let matter = format!("is larger than {CONFIG_FILE_BYTES_MAX} bytes");
    Fault::of_file(file, None, &matter, "split it, or remove what does not belong into it")
}

/// Reads the files of a folder that have an extension. Only the first folder of entities has to be there.
fn read_folder(catalog: &Path, folder: &str, extension: &str, files: &mut CatalogFiles) {
    let path = catalog.join(folder);
    match names_in(&path, extension) {
        Ok(names) => {
            for name in names {
                read_file(catalog, Path::new(folder).join(name), files);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder != ENTITY_FOLDERS[0] => {}
        Err(error) => {
            let matter = format!("folder {} cannot be read ({})", path.display(), reason(&error));
            let fault =
                Fault::of_file(folder, None, &matter, "create it, or let this user read it (chmod, chown)");
            files.insert_unreadable(folder, fault);
        }
    }
}

/// Reads a file of the catalogue. What is not UTF-8 in its path becomes a character that no entity's name has.
fn read_file(catalog: &Path, path: impl AsRef<Path>, files: &mut CatalogFiles) {
    let file = path.as_ref().display().to_string();
    match read_text(&catalog.join(path), &file) {
        Ok(text) => files.insert(&file, text),
        Err(fault) => files.insert_unreadable(&file, fault),
    }
}

/// Returns the metadata of a path, without following a link.
pub(super) fn metadata(path: &Path) -> io::Result<fs::Metadata> {
    let _attempt = attempt(path)?;
    fs::symlink_metadata(path)
}

/// Names of what stands in `folder` with this extension. Hidden files are left alone.
fn names_in(folder: &Path, extension: &str) -> io::Result<Vec<OsString>> {
    let _attempt = attempt(folder)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if has_extension(&name, extension) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Names of the folders in `folder`; none where it cannot be read, which reading its files has told.
fn folders_in(folder: &Path) -> Vec<OsString> {
    let Ok(_attempt) = attempt(folder) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_folder = |entry: &fs::DirEntry| match entry.file_type() {
        // A link may lead to one.
        Ok(kind) => kind.is_dir() || kind.is_symlink() && entry.path().is_dir(),
        Err(_) => false,
    };
    let folders = entries.flatten().filter(is_folder).map(|entry| entry.file_name());
    folders.filter(|name| !is_hidden(name)).collect()
}

/// Whether a name has this extension, and is not hidden.
fn has_extension(name: &OsStr, extension: &str) -> bool {
    !is_hidden(name) && Path::new(name).extension() == Some(OsStr::new(extension))
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Returns the content of a file, or the reason why it cannot be read; `file` is its name in faults.
pub(crate) fn read_text(path: &Path, file: &str) -> Result<String, Fault> {
    let mut read = read_small(path, CONFIG_FILE_BYTES_MAX).map_err(|why| match why {
        Unreadable::TooLarge(_) => too_large(file),
        Unreadable::System(_) | Unreadable::NotRegular(_) => {
            Fault::of_file(file, None, &why.to_string(), READABLE_FILE)
        }
    })?;
    String::from_utf8(std::mem::take(&mut *read.bytes)).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        Fault::of_file(file, Some(line), "is not utf-8 text", "save it in utf-8")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use tempfile::TempDir;

    use super::*;

    const ECHO: &str = "display_name = \"Echo\"\nurl = \"ws://h\"\nsuffix = \"echo\"\n";

    /// A folder with these files in it.
    fn folder(files: &[(&str, &[u8])]) -> TempDir {
        let folder = TempDir::new().expect("a temporary folder");
        for (name, contents) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder");
            fs::write(path, contents).expect("a file");
        }
        folder
    }

    fn load_in(folder: &TempDir) -> Result<Loaded, Vec<String>> {
        let root = format!("{}/", folder.path().display());
        load(&folder.path().join("ringgate.toml"))
            .map_err(|faults| faults.iter().map(|fault| fault.to_string().replace(&root, "")).collect())
    }

    #[test]
    fn loads_an_instance_and_its_catalogue_and_leaves_other_files_alone() {
        let folder = folder(&[
            ("ringgate.toml", b"catalog = \"c\"\ngateway = \"edge\""),
            ("c/apis/echo.toml", ECHO.as_bytes()),
            ("c/apis/.hidden.toml", b"="),
            ("c/apis/README", b"="),
            ("c/apis/echo.toml~", b"="),
            ("c/apis/echo.TOML", b"="),
        ]);
        let loaded = load_in(&folder).expect("no fault");
        assert_eq!(loaded.config.gateway.as_ref().map(Name::as_str), Some("edge"));
        assert_eq!(loaded.snapshot.served().len(), 1);
        assert_eq!(loaded.snapshot.served()[0].name.as_str(), "echo");
    }

    #[test]
    fn a_policy_document_that_stands_too_deep_is_read_and_refused() {
        let folder = folder(&[
            ("ringgate.toml", b""),
            ("catalog/apis/echo.toml", ECHO.as_bytes()),
            ("catalog/policies/apis/echo/policy.xml", b"<policies/>"),
            ("catalog/policies/apis/echo/operations/send/policy.xml", b"<policies/>"),
            ("catalog/policies/apis/.echo/policy.xml", b"<policies/>"),
        ]);
        let faults = load_in(&folder).expect_err("it has no place");
        assert_eq!(faults.len(), 2, "{faults:?}");
        for (fault, place) in faults.iter().zip(["operations/send/", ""]) {
            let start = format!("policies/apis/echo/{place}policy.xml: no policy document is read from here");
            assert!(fault.starts_with(&start), "{faults:?}");
        }
    }

    #[test]
    fn an_absolute_catalogue_folder_stays_where_it_is() {
        let catalog = folder(&[("apis/echo.toml", ECHO.as_bytes())]);
        let config = format!("catalog = {:?}", catalog.path());
        assert!(load_in(&folder(&[("ringgate.toml", config.as_bytes())])).is_ok());
    }

    #[test]
    fn a_catalogue_without_apis_is_valid_and_one_without_the_folder_is_not() {
        let folder = folder(&[("ringgate.toml", b"")]);
        let faults = load_in(&folder).expect_err("no folder");
        assert_eq!(faults.len(), 1);
        assert!(
            faults[0].starts_with("apis: folder catalog/apis cannot be read (no such file"),
            "{faults:?}"
        );
        fs::create_dir_all(folder.path().join("catalog/apis")).expect("a folder");
        assert!(load_in(&folder).expect("no fault").snapshot.served().is_empty());
    }

    #[test]
    fn the_catalogue_waits_while_its_folder_is_not_known() {
        for bad in ["catalog = 3", "catalog = "] {
            let folder = folder(&[("ringgate.toml", bad.as_bytes()), ("catalog/apis/a.toml", b"=")]);
            assert_eq!(load_in(&folder).expect_err("a fault").len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_missing_instance_file_is_a_fault() {
        let faults = load_in(&folder(&[])).expect_err("no file");
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("ringgate.toml: cannot be read (no such file"), "{faults:?}");
    }

    #[test]
    fn names_the_faults_of_all_files_at_once_in_the_order_of_files() {
        let folder = folder(&[
            ("ringgate.toml", b"workers = 0"),
            ("catalog/apis/a.toml", b"\xff"),
            ("catalog/apis/b.toml", b"display_name = \"B\"\nurl = \"ws://h\"\n#\xc3\xa9\n\xc3("),
            ("catalog/apis/c.toml", &vec![b'#'; 1024 * 1024 + 1]),
            ("catalog/apis/d.toml", ECHO.as_bytes()),
            ("catalog/apis/e.toml", format!("linger_s = 0\n{ECHO}frames = 1").as_bytes()),
            ("catalog/apis/f.toml/x", b""),
        ]);
        let bad_name = OsStr::from_bytes(b"g\xff.toml");
        fs::write(folder.path().join("catalog/apis").join(bad_name), ECHO.replace("echo", "g"))
            .expect("a file");
        let faults = load_in(&folder).expect_err("all of them");
        let starts = [
            "ringgate.toml:1: workers = 0",
            "apis/a.toml:1: is not utf-8 text",
            "apis/b.toml:4: is not utf-8 text",
            "apis/c.toml: is larger than 1048576 bytes",
            "apis/e.toml:1: linger_s = 0",
            "apis/e.toml:4: suffix = \"echo\"; apis/d.toml has the same suffix",
            "apis/e.toml:5: frames = 1",
            "apis/f.toml: is a folder and not a regular file",
            "apis/g\u{fffd}.toml: its name cannot be that of an api",
        ];
        assert_eq!(faults.len(), starts.len(), "{faults:#?}");
        for (fault, start) in faults.iter().zip(starts) {
            assert!(fault.starts_with(start), "{fault}");
        }
    }

    #[test]
    fn a_file_of_the_largest_size_is_read() {
        let folder = folder(&[("ringgate.toml", &vec![b'#'; 1024 * 1024])]);
        fs::create_dir_all(folder.path().join("catalog/apis")).expect("a folder");
        assert!(load_in(&folder).is_ok());
    }

    #[test]
    fn a_file_is_read_again_as_a_whole_look_would_find_it() {
        let folder =
            folder(&[("apis/a.toml", b"1"), ("policies/apis/x.xml", b"<p/>"), ("named-values.toml", b"")]);
        let root = folder.path();
        let mut files = read_catalog(root);
        fs::write(root.join("apis/a.toml"), "2").expect("a file");
        fs::write(root.join("apis/b.toml"), b"\xff").expect("a file");
        fs::write(root.join("apis/.c.toml"), "3").expect("a file");
        fs::write(root.join("notes.toml"), "4").expect("a file");
        fs::remove_dir_all(root.join("policies")).expect("a folder");
        fs::remove_file(root.join("named-values.toml")).expect("a file");
        for path in ["apis/a.toml", "apis/b.toml", "apis/.c.toml", "notes.toml", "policies/apis/x.xml"] {
            read_again(root, path, &mut files);
        }
        assert_ne!(files, read_catalog(root), "one is left");
        read_again(root, "named-values.toml", &mut files);
        assert_eq!(files, read_catalog(root));
    }

    #[test]
    fn what_is_read_is_named_exactly() {
        for path in [
            "apis/a.toml",
            "gateways/a.toml",
            "products/a.b.toml",
            "subscriptions/a.toml",
            "version-sets/a.toml",
            "policies/global.xml",
            "policies/apis/a.xml",
            "policies/a/b/c/d/e.xml",
            "named-values.toml",
        ] {
            assert!(is_catalog_file(path), "{path}");
        }
        for path in [
            "",
            "apis",
            "a.toml",
            "apis/a.xml",
            "apis/.a.toml",
            "apis/.toml",
            "apis/x/a.toml",
            "apis/../a.toml",
            "../apis/a.toml",
            "/apis/a.toml",
            "policies/a.toml",
            "policies/../a.xml",
            "policies/x/.y/a.xml",
            "policies/a/b/c/d/e/f.xml",
            "policies//a.xml",
            "policiesx/a.xml",
            "named-values.toml/a.toml",
        ] {
            assert!(!is_catalog_file(path), "{path}");
        }
    }

    #[test]
    fn the_built_in_instance_serves_an_open_echo() {
        let loaded = built_in("127.0.0.1:9001".parse().expect("an address"));
        assert_eq!(loaded.config, InstanceConfig::default());
        let routed = loaded.snapshot.route("/echo").unwrap().expect("the echo api");
        assert_eq!(routed.backend_path(), "/");
        assert_eq!(routed.api.backend.authority, "127.0.0.1:9001");
        assert!(!routed.api.subscription_required);
    }
}
