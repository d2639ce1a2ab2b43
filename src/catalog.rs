//! The catalogue: what an operator writes, checked, as values the workers can hold.
//!
//! Text comes in with the name of its file; a value or *every* fault of that text goes out. A [`Snapshot`] is
//! immutable, and nothing in it depends on the order in which files were read.
//!
//! Not here: reading files (`control::store`), running policies, and what a session does with its API's limits.

pub mod access;
pub mod api;
pub mod backend_url;
pub mod compile;
pub mod etag;
pub mod export;
pub mod fault;
pub(crate) mod fields;
pub mod files;
pub mod gateway;
pub mod given_key;
pub mod given_version;
pub mod key_secret;
pub mod name;
pub mod named_value;
pub mod network;
pub mod parsed;
pub mod path_escape;
pub mod path_segment;
pub mod policy_documents;
pub mod product;
pub(crate) mod prose;
pub mod reference;
pub mod request_name;
mod routing;
pub mod sealed_key;
pub mod snapshot;
pub mod subscription;
pub mod subscription_key;
pub mod suffix;
pub mod timestamp;
pub mod tls;
pub mod version_set;

pub use api::{Api, FrameMode, Schemes, parse_api};
pub use backend_url::{BackendHost, BackendUrl};
pub use compile::compile;
pub use etag::{ETag, Revision};
pub use fault::Fault;
pub use files::CatalogFiles;
pub use name::Name;
pub use path_escape::leaves_suffix;
pub use path_segment::PathFault;
pub use snapshot::{Routed, Snapshot};
pub use suffix::Suffix;
