//! Paths that name the same thing: however a client spells one, the same API decides, or nobody gets it.
//!
//! These attacks are over with an answer, so no neighbour watches them.

use crate::golden::assert_golden;
use crate::support::backend::{Backend, reports};
use crate::support::handshake::read_refusal;
use crate::support::raw::{Raw, header, request};
use crate::support::{TestInstance, api_file, locked_api_file, subscription_file};
use ringgate::session::{Cause, Phase};
use std::net::SocketAddr;

/// A backend that says what it was asked for, and reports it.
fn telling_backend() -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let (asked, report) = reports();
    let address = Backend::new().serve(move |mut raw| {
        let head = raw.read_head();
        let target = head.split(' ').nth(1).unwrap_or_default();
        let _ = asked.send(target.to_owned());
        raw.send(format!("HTTP/1.1 403 No\r\nX-Asked: {target}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    });
    (address, report)
}

#[test]
fn no_spelling_of_a_guarded_path_reaches_the_backend_by_way_of_an_open_api() {
    let (backend, report) = telling_backend();
    let admin =
        locked_api_file("admin", backend, "").replace(&backend.to_string(), &format!("{backend}/admin"));
    let apis = [("open", &*api_file("", backend, "")), ("admin", &*admin)];
    let gateway = TestInstance::start_with("workers = 1", &apis);
    let missing = "Access denied due to missing subscription key. \
                   Make sure to include subscription key when making requests to an API.";
    let dots = "Request path has a dot segment where it names the API";
    let separator = "Request path has a backslash or an encoded slash where it names the API";
    let parameter = "Request path has a parameter other than ;rev=N where it names the API";
    let reserved = "Request path has an encoded reserved character where it names the API";
    let escape = "Request path has a malformed percent-encoding where it names the API";
    let leaves = "Request path leaves the API";
    let table = [
        ("/admin", 401, missing),
        ("/%61dmin", 401, missing),
        ("/%61%64%6D%69%6e/x", 401, missing),
        ("//admin", 401, missing),
        ("///%61dmin//x", 401, missing),
        ("ws://gateway.example//admin", 401, missing),
        ("/admin;rev=1", 401, missing),
        ("/./admin", 400, dots),
        ("/%2e/admin", 400, dots),
        ("/../admin", 400, dots),
        ("/.%2E/admin", 400, dots),
        ("/admin%2f", 400, separator),
        ("/admin%2Fx", 400, separator),
        ("/admin\\x", 400, separator),
        ("/admin%5cx", 400, separator),
        ("/x%2f..%2fadmin", 400, separator),
        ("/admin;x=1", 400, parameter),
        ("/admin;", 400, parameter),
        ("/;x/admin", 400, parameter),
        ("/admin%3bx=1", 400, reserved),
        ("/%3bx=1/./admin", 400, reserved),
        ("/%zdmin", 400, escape),
        ("/x/../admin", 400, leaves),
        ("/x/y/%2e%2e/../admin", 400, leaves),
        ("/x/..%2fadmin", 400, leaves),
        ("/x/..;y/admin", 400, leaves),
        ("/x/;y/../../admin", 400, leaves),
        ("/;rev=1/admin", 404, "Resource not found"),
        ("/admin;rev=2", 404, "Resource not found"),
    ];
    for (path, status, message) in table {
        let mut client = Raw::connect(gateway.address);
        client.send(request(path, "").as_bytes());
        read_refusal(&mut client, status, message);
    }
    let of = |wanted: u16| table.iter().filter(|(_, status, _)| *status == wanted).count() as u64;
    gateway.wait_for_terminations(Cause::Key, Phase::Head, of(401));
    gateway.wait_for_terminations(Cause::HeadFault, Phase::Head, of(400));
    gateway.wait_for_terminations(Cause::NoApi, Phase::Head, of(404));
    // The open API is there all the same, and its paths go on as they came.
    for path in ["/x/%61dmin/./y;z//%2f", "//x", "/administrator", "/Admin"] {
        let mut client = Raw::connect(gateway.address);
        client.send(request(path, "").as_bytes());
        assert_eq!(header(&client.read_head(), "X-Asked"), Some(path));
    }
    assert_eq!(report.try_iter().count(), 4, "nothing else reached the backend");
    gateway.wait_for_rest();
    gateway.end();
}

/// The paths that are asked of a gateway with an open API at the root, and others below it.
const PATHS: [&str; 109] = [
    "/",
    "//",
    "///",
    "/x",
    "/x/",
    "/x//y",
    "//x/y",
    "/x/y/z",
    "/admin",
    "/admin/",
    "/admin//",
    "/admin/users",
    "/admin/users/",
    "/admin//users",
    "//admin/users",
    "///admin///users",
    "/administrator",
    "/admi",
    "/Admin",
    "/ADMIN/users",
    "/%61dmin",
    "/%61dmin/users",
    "/%61%64%6d%69%6e/users",
    "/%61%64%6D%69%6E/users",
    "/a%64min/%75sers",
    "//%61dmin//%75sers",
    "/%41dmin",
    "/%2561dmin",
    "/%25%36%31dmin",
    "/admin%20",
    "/admin%00",
    "/admin%3F",
    "/admin%23",
    "/admin?x=/../y",
    "/%c3%a4",
    "/%C3%A4/x",
    "/%ff",
    "/%FF%fe/x",
    "/admin/%ff",
    "/%",
    "/%6",
    "/%zz",
    "/%%61dmin",
    "/%6%31dmin",
    "/admin%",
    "/x/%zz",
    "/admin/%zz",
    "/admin/100%",
    "/.",
    "/..",
    "/./",
    "/../",
    "/./admin",
    "/../admin",
    "//../admin",
    "/%2e",
    "/%2e%2e",
    "/%2E%2e/admin",
    "/.%2e/admin",
    "/...",
    "/.x",
    "/..x",
    "/.well-known/x",
    "/x/..",
    "/x/../admin",
    "/x/./admin",
    "/x/%2e%2e/admin",
    "/x/y/..",
    "/x/y/../z",
    "/x/y/../../admin",
    "/x/..%2fadmin",
    "/x/..\\admin",
    "/admin/.",
    "/admin/..",
    "/admin/../x",
    "/admin/./users",
    "/admin/x/../users",
    "/admin/x/../../y",
    "/admin%2f",
    "/admin%2Fusers",
    "/admin%5cusers",
    "/admin\\users",
    "/x%2fy",
    "/x/y%2fz",
    "/admin/a%2Fb",
    "/admin;",
    "/admin;x=1",
    "/admin;x/users",
    "/x;y",
    "/x/y;z",
    "/admin/users;z",
    "/admin;rev=2",
    "/admin;rev=2/users",
    "/%61dmin;%72ev=2/users",
    "/admin;rev=1",
    "/admin;rev=3/users",
    "/admin;rev=x",
    "/admin;rev=",
    "/admin;REV=2",
    "/admin;rev=2;x",
    "/admin;rev=2;rev=2",
    "/admin%3brev=2",
    "/%3brev=2/admin",
    "/admin/;rev=2",
    "/;rev=1/x",
    "/;rev=1/admin",
    "/x;rev=1",
    "http://gateway.example//%61dmin/users",
    "*",
];

/// The same below suffixes of two segments, and where the second is a version.
const DEEPER_PATHS: [&str; 38] = [
    "/a",
    "/a/",
    "/a/x",
    "/a/b",
    "/a/b/",
    "/a/b/c",
    "/a//b",
    "//a//b//c",
    "/%61/%62/%63",
    "/a/bc",
    "/a/b%20c",
    "/a%2fb",
    "/a/b%2fc",
    "/a/b/c%2fd",
    "/a/./b",
    "/a/x/../b",
    "/a/b/../b",
    "/a/b/c/../d",
    "/a/x/y/../z",
    "/a/x/y/../../b",
    "/a;x/b",
    "/a/b;x",
    "/a/b;rev=1/c",
    "/a;rev=1/b",
    "/x/a/b",
    "/chat",
    "/chat/",
    "/chat/room",
    "/chat/v2",
    "/chat/v2/room",
    "/chat//v2//room",
    "/chat/%762/room",
    "/chat/V2/room",
    "/chat/v2;rev=1/room",
    "/chat;rev=1/v2/room",
    "/chat;rev=1/room",
    "/chat/v1/../v2",
    "/chat/v2%2froom",
];

#[test]
fn every_path_is_decided_as_the_table_says() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let (backend, report) = telling_backend();
    // The path of each API's backend is its name, so that what is asked for tells them apart.
    let with_path =
        |file: String, name: &str| file.replace(&backend.to_string(), &format!("{backend}/~{name}"));
    let of_set = |lines: &str| format!("version_set = \"chat\"\n{lines}");
    let files = [
        ("apis/open.toml", with_path(api_file("", backend, ""), "open")),
        ("apis/admin.toml", with_path(locked_api_file("admin", backend, "revision = 2"), "admin")),
        ("apis/deep.toml", with_path(api_file("a/b", backend, ""), "deep")),
        ("apis/chat.toml", with_path(api_file("chat", backend, &of_set("")), "chat")),
        ("apis/chat-v2.toml", with_path(api_file("chat", backend, &of_set("version = \"v2\"")), "chat-v2")),
        ("version-sets/chat.toml", "display_name = \"Chat\"\nversioning_scheme = \"Segment\"".to_owned()),
        ("subscriptions/s.toml", subscription_file("/apis", KEY, "")),
    ];
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, &**text)).collect();
    let gateway = TestInstance::start_catalog("workers = 1", &files);
    let key = format!("Ocp-Apim-Subscription-Key: {KEY}\r\n");
    let mut told = String::new();
    for path in PATHS.iter().chain(&DEEPER_PATHS) {
        let mut client = Raw::connect(gateway.address);
        client.send(request(path, &key).as_bytes());
        let head = client.read_head();
        let (body, _) = client.read_to_end();
        let outcome = match header(&head, "X-Asked").map(|asked| asked.trim_start_matches("/~")) {
            Some(asked) => {
                let (api, rest) = asked.split_at(asked.find(['/', '?']).unwrap_or(asked.len()));
                format!("{api:<8} {rest}")
            }
            None => {
                let body = String::from_utf8(body).unwrap();
                let message = body.split("\"message\": \"").nth(1).unwrap_or_default();
                format!("{:<8} {}", head.split(' ').nth(1).unwrap(), message.trim_end_matches("\" }"))
            }
        };
        told.push_str(format!("{path:<40} {outcome}").trim_end());
        told.push('\n');
    }
    let passed_on = told.lines().filter(|line| !line[41..].starts_with('4')).count();
    assert_eq!(report.try_iter().count(), passed_on, "what is refused does not reach a backend");
    assert_golden("paths.txt", &told);
    gateway.wait_for_rest();
    gateway.end();
}
