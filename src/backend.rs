//! The addresses of an API's backend.
//!
//! Not here: the URL that names a backend (`catalog::backend_url`), and the connection to it (`front`).

pub mod names;
