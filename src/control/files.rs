//! The files of an instance: its catalogue, the secret of keys, certificates. Read, watched for changes, looked at for as long as it
//! serves, and written.
//!
//! All of it asks file systems, which may not answer: it is for the thread that looks at files, and for commands that may wait.
//!
//! Not here: giving the workers what was found (`control::publisher`), what the files mean (`catalog`, `tls`).

pub mod ignored;
pub mod key_file;
pub mod looker;
pub mod store;
pub mod tls_files;
pub mod watch;
pub mod writer;
