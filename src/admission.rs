//! Who gets in: proof of admission, given back when it is dropped.
//!
//! Not here: where places are taken in an opening (`front`), and the refusal's words (`session::termination`).

pub mod permit;
