//! The catalogue's entities: one file each, checked by itself.
//!
//! A file's text comes in with its name; a value or *every* fault of that text is returned.
//!
//! Not here: reading files (`control::files::store`), references between files and look-ups (`compiled`), running policies
//! (`policy`), and the use of an API's limits by a session.

pub mod access;
pub mod api;
pub mod backend_url;
pub mod diagnostics;
pub mod etag;
pub mod fault;
pub(crate) mod fields;
pub mod files;
pub mod gateway;
pub mod given_key;
pub mod key_secret;
pub mod name;
pub mod named_value;
pub mod network;
pub mod parsed;
pub mod policy_documents;
pub mod product;
pub(crate) mod prose;
pub mod reference;
pub mod request_name;
pub mod sealed_key;
pub mod subscription;
pub mod subscription_key;
pub mod suffix;
pub mod timestamp;
pub mod tls;
pub mod version_set;

pub use api::{Api, FrameMode, Schemes, parse_api};
pub use backend_url::{BackendHost, BackendUrl};
pub use diagnostics::{Diagnostics, DiagnosticsInForce};
pub use etag::{ETag, Revision};
pub use fault::Fault;
pub use files::CatalogFiles;
pub use name::Name;
pub use suffix::Suffix;
