//! The reason phrase of a status, and the body that tells an error.

use serde_json::Value;

/// The reason phrases of the statuses that ringgate itself sends, and of those that policies usually do (RFC 9110 §15, RFC
/// 6585). Another one goes without.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        414 => "URI Too Long",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// The body of an error, in Azure API Management's form.
pub fn error_body(status: u16, message: &str) -> String {
    // `Value` writes a string with the escapes of RFC 8259 §7.
    format!("{{ \"statusCode\": {status}, \"message\": {} }}", Value::from(message))
}
