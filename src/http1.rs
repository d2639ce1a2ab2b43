//! HTTP/1.1 heads: parsed strictly, judged in a fixed order of faults, and encoded for the other leg.
//!
//! Bytes come in, values go out. A head that parsed holds no CR, LF, NUL or control character in any field, so
//! whatever is encoded out of its fields cannot gain a line.
//!
//! Not here: reading (the front), routing (the catalogue), what makes a request an opening handshake
//! (`websocket::opening`).

pub mod answer_fault;
pub mod chunked;
pub mod encode;
mod first_fault;
pub mod head_end;
pub mod head_fault;
pub mod health_request;
pub mod lines;
pub mod method;
pub mod request;
pub mod response;
mod version;

pub use answer_fault::AnswerFault;
pub use first_fault::without_leading_crlf;
pub use head_end::find_head_end;
pub use head_fault::HeadFault;
pub use health_request::HealthRequest;
pub use lines::LineFault;
pub use response::{BodyLength, ResponseHead};
