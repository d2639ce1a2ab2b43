//! The head of a request or an answer, whatever version of HTTP it came in: method, target, authority, fields.
//!
//! Values only: `http1` parses bytes into them and encodes them. Policies and the catalogue know nothing of HTTP versions.

pub mod answer;
pub mod authority;
pub mod date;
pub mod fields;
pub mod forwarding;
pub mod method;
pub mod path_escape;
pub mod percent;
pub mod request;
pub mod status;
pub mod target;
pub mod token;
pub mod trace_context;

pub use answer::Answer;
pub use date::HttpDate;
pub use fields::{Header, Headers, Occurrence};
pub use method::Method;
pub use request::RequestHead;
pub use target::Target;
