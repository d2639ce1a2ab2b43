//! HTTP/1.1 heads: parsed strictly, judged in a fixed order of faults, and encoded for the other leg.
//!
//! Bytes come in, values go out. A head that parsed holds no CR, LF, NUL or control character in any field, so
//! whatever is encoded out of its fields cannot gain a line.
//!
//! Not here: reading (the front), routing (the catalogue), what makes a request an opening handshake
//! (`websocket::opening`).

pub mod answer_fault;
pub mod authority;
pub mod chunked;
pub mod date;
pub mod encode;
mod first_fault;
pub mod head;
pub mod head_fault;
pub mod lines;
pub mod method;
pub mod request;
pub mod response;
pub mod target;
mod version;

pub use answer_fault::AnswerFault;
pub use date::HttpDate;
pub use head::{Header, Headers, Occurrence, find_head_end};
pub use head_fault::HeadFault;
pub use lines::LineFault;
pub use method::Method;
pub use request::RequestHead;
pub use response::{BodyLength, ResponseHead};
pub use target::Target;
