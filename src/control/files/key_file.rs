//! The file of an instance's secret: read, or made if there is none.
//!
//! The property to trust: the file is never incomplete. It is written under another name, and gets its own by a link, which
//! fails if another process was faster; then the other secret counts. Only its owner may read it.
//!
//! A process that is killed in between may leave a hidden file behind, whose secret was never used.
//!
//! Not here: the keys derived from the secret (`catalog::key_secret`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::store;
use crate::catalog::Fault;
use crate::catalog::key_secret::{KeySecret, SECRET_BYTES};
use crate::catalog::subscription_key::KeyHasher;
use crate::compiled::Snapshot;
use crate::config::instance::KeysConfig;
use crate::process::files::{credentials_folder, is_credential, read_small, reason};

/// Largest such file, in bytes, that is read: 64 hexadecimal digits and room for white space. Over it: a fault.
const KEY_FILE_BYTES_MAX: u64 = 256;

/// Bits of a mode that give access to anybody but the owner.
const FOR_OTHERS: u32 = 0o077;

/// The same for a credential of systemd, whose group's read bit stands for the user of the service ([`is_credential`]).
const FOR_OTHERS_OF_CREDENTIAL: u32 = 0o037;

/// The requirements for the file, in the words of a fault.
const ALLOWED: &str = "it has to be a regular file that this user, and nobody else, can read (chmod 600)";

/// The file of the secret of the instance whose file is `config`: the one that `keys` names. A credential of the default name takes
/// the place of the default file.
pub fn path(config: &Path, keys: &KeysConfig) -> PathBuf {
    path_with(config, keys, credentials_folder().as_deref())
}

fn path_with(config: &Path, keys: &KeysConfig, credentials: Option<&Path>) -> PathBuf {
    let is_default = keys.file == KeysConfig::default().file;
    let credential = credentials.map(|folder| folder.join(&keys.file));
    let credential = credential.filter(|credential| is_default && credential.exists());
    credential.unwrap_or_else(|| store::beside(config, &keys.file))
}

fn is_open_to_others(path: &Path, mode: u32, credentials: Option<&Path>) -> bool {
    let others = if is_credential(path, credentials) { FOR_OTHERS_OF_CREDENTIAL } else { FOR_OTHERS };
    mode & others != 0
}

/// Reads the secret. `None`: there is no such file.
///
/// # Errors
/// It cannot be read, is no secret, or is open to others.
pub fn read(path: &Path) -> Result<Option<KeySecret>, Fault> {
    let fault =
        |matter: &str, allowed: &str| Fault::of_file(&path.display().to_string(), None, matter, allowed);
    let read = match read_small(path, KEY_FILE_BYTES_MAX) {
        Ok(read) => read,
        Err(why) if why.is_absent() => return Ok(None),
        Err(why) => return Err(fault(&why.to_string(), ALLOWED)),
    };
    if is_open_to_others(path, read.mode, credentials_folder().as_deref()) {
        return Err(fault(&format!("is open to others (mode {:03o})", read.mode & 0o777), ALLOWED));
    }
    let text = str::from_utf8(&read.bytes).unwrap_or("");
    KeySecret::parse(text).map(Some).map_err(|allowed| {
        fault(
            "holds no secret",
            &format!("it has to hold {allowed}, as ringgate wrote them: restore it from a copy"),
        )
    })
}

/// Reads the secret that a catalogue's keys were hashed under, which must be there.
///
/// # Errors
/// As [`read`]; there is no such file.
pub fn read_needed(path: &Path) -> Result<KeySecret, Fault> {
    let act = "the catalogue's keys were hashed under the secret in it: copy it here; if it is lost, remove the hashes of keys from \
               the subscriptions and make new keys (ringgate subscription new-key)";
    read(path)?.ok_or_else(|| Fault::of_file(&path.display().to_string(), None, "is not there", act))
}

/// Gives the snapshot the hasher of its keys, from the secret in the file at `path`, which has to exist if any subscription has
/// a key.
///
/// # Errors
/// As [`read_needed`].
pub fn with_keys(snapshot: Snapshot, path: &Path) -> Result<Snapshot, Fault> {
    Ok(match hasher_of(&snapshot, path)? {
        Some(hasher) => snapshot.with_key_hasher(hasher),
        None => snapshot,
    })
}

/// Returns the hasher of a snapshot's keys, from the secret in the file at `path`. `None`: no subscription has a key.
///
/// # Errors
/// As [`read_needed`].
pub fn hasher_of(snapshot: &Snapshot, path: &Path) -> Result<Option<KeyHasher>, Fault> {
    snapshot.has_keys().then(|| read_needed(path).map(|secret| secret.hasher())).transpose()
}

/// Reads the secret, or makes one of random bytes where there is no such file.
///
/// # Errors
/// As [`read`]; the file cannot be made, or the system has no random bytes.
pub fn read_or_make(path: &Path) -> Result<KeySecret, Fault> {
    if let Some(secret) = read(path)? {
        return Ok(secret);
    }
    make(path).map_err(|error| {
        let matter = format!("cannot be made ({})", reason(&error));
        Fault::of_file(
            &path.display().to_string(),
            None,
            &matter,
            "let this user write to its folder, or set keys.file to another place",
        )
    })?;
    let missing =
        || Fault::of_file(&path.display().to_string(), None, "was removed as soon as it was made", ALLOWED);
    // Another process may have been faster: what is there counts.
    read(path)?.ok_or_else(missing)
}

/// Makes the file, if no other process does so first.
fn make(path: &Path) -> io::Result<()> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(&mut bytes[..])?;
    let secret = KeySecret::from_random(&bytes);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = folder.join(format!(".{name}.{}.new", std::process::id()));
    // One of the same name is of a process that was killed: two do not have one number at a time.
    match fs::remove_file(&hidden) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let made = write_and_link(&secret, &hidden, path);
    fs::remove_file(&hidden)?;
    made?;
    File::open(folder)?.sync_all()
}

fn write_and_link(secret: &KeySecret, hidden: &Path, path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(hidden)?;
    file.write_all(secret.to_text().as_bytes())?;
    file.sync_all()?;
    match fs::hard_link(hidden, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn hash(secret: &KeySecret) -> String {
        secret.hasher().text_of(b"key")
    }

    #[test]
    fn is_made_once_for_its_owner_alone_and_read_from_then_on() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ringgate.key");
        assert!(read(&path).expect("no fault").is_none());
        let made = read_or_make(&path).expect("a secret");
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
        assert_eq!(hash(&read(&path).expect("no fault").expect("a secret")), hash(&made));
        assert_eq!(hash(&read_or_make(&path).expect("a secret")), hash(&made));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn who_comes_second_takes_the_secret_of_who_came_first() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ringgate.key");
        make(&path).expect("the first");
        let first = read(&path).expect("no fault").expect("a secret");
        // It did not see the file when it looked, and meets it at the link.
        make(&path).expect("the second");
        assert_eq!(hash(&read(&path).expect("no fault").expect("a secret")), hash(&first));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn one_that_others_can_read_is_a_fault_as_is_one_that_is_no_secret() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ringgate.key");
        read_or_make(&path).expect("a secret");
        for mode in [0o640, 0o604, 0o620, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            let fault = read(&path).expect_err("open to others").to_string();
            assert!(fault.contains(&format!("is open to others (mode {mode:o})")), "{fault}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("a mode");
        assert!(read(&path).is_ok());
        for (contents, matter) in
            [("s3cret", "holds no secret"), (&"0".repeat(300), "is larger than 256 bytes")]
        {
            let path = folder.path().join("other.key");
            fs::write(&path, contents).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
            let fault = read(&path).expect_err("no secret").to_string();
            assert!(fault.contains(matter) && !fault.contains("s3cret"), "{fault}");
        }
        assert!(
            read(folder.path())
                .expect_err("a folder")
                .to_string()
                .contains("is a folder and not a regular file")
        );
    }

    #[test]
    fn a_credential_of_the_default_name_takes_the_place_of_the_default_file_and_its_group_is_the_service_s_user()
     {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let credential = folder.path().join("ringgate.key");
        let (config, own) = (Path::new("/etc/ringgate/ringgate.toml"), Some(folder.path()));
        let (default, beside) = (KeysConfig::default(), Path::new("/etc/ringgate/ringgate.key"));
        assert_eq!(path_with(config, &default, None), beside);
        assert_eq!(path_with(config, &default, own), beside, "there is no such credential");
        fs::write(&credential, "").expect("a file");
        assert_eq!(path_with(config, &default, own), credential);
        let named = KeysConfig { file: "/srv/other.key".to_owned(), ..default };
        assert_eq!(path_with(config, &named, own), Path::new("/srv/other.key"));

        let of_service = Path::new("/run/credentials/ringgate.service/ringgate.key");
        for (path, own) in [(credential.as_path(), own), (of_service, None)] {
            assert!(!is_open_to_others(path, 0o440, own) && !is_open_to_others(path, 0o400, own));
            for mode in [0o444, 0o460, 0o450] {
                assert!(is_open_to_others(path, mode, own), "{mode:o}");
            }
        }
        assert!(is_open_to_others(beside, 0o440, own));
    }

    #[test]
    fn one_that_is_needed_is_not_made() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ringgate.key");
        assert!(read_needed(&path).expect_err("none").to_string().contains("is not there"));
        read_or_make(&path).expect("a secret");
        assert!(read_needed(&path).is_ok());
    }

    #[test]
    fn is_not_made_where_its_folder_is_missing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fault =
            read_or_make(&folder.path().join("none/ringgate.key")).expect_err("no folder").to_string();
        assert!(fault.contains("cannot be made (no such file"), "{fault}");
    }
}
