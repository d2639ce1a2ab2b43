//! Where an API's sessions go: the addresses of its backend.
//!
//! Not here: the URL that names a backend (`catalog::backend_url`), and the connection to it (`front`).

pub mod names;
