//! The catalogue's entities: what an operator publishes, a file each, checked by itself.
//!
//! Text comes in with the name of its file; a value or *every* fault of that text goes out.
//!
//! Not here: reading files (`control::files::store`), what the files ask of each other and how they are looked up (`compiled`), running
//! policies (`policy`), and what a session does with its API's limits.

pub mod access;
pub mod api;
pub mod backend_url;
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
pub use etag::{ETag, Revision};
pub use fault::Fault;
pub use files::CatalogFiles;
pub use name::Name;
pub use suffix::Suffix;
