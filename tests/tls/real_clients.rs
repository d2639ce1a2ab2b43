//! Programs that know nothing of ringgate: OpenSSL, Python's ssl, curl, a browser. Each is left out, loudly, where it is missing.

use crate::gateway::{NAME, Secured};
use crate::support::backend::{Backend, switching};
use crate::support::raw::request;
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Whether a program can be run.
fn has(program: &str, asks_version: &str) -> bool {
    let is_there =
        Command::new(program).arg(asks_version).output().is_ok_and(|output| output.status.success());
    if !is_there {
        eprintln!("SKIPPED: {program} is not installed");
    }
    is_there
}

/// A gateway whose authority is in a file.
fn scene() -> (Secured, String) {
    let scene = Secured::start();
    let ca = scene.folder.path().join("ca.pem");
    std::fs::write(&ca, scene.authority.pem()).unwrap();
    let ca = ca.display().to_string();
    (scene, ca)
}

/// Runs a program with this input; while it runs, the backend answers one handshake with a 101 and a message.
fn run(scene: &Secured, command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    stdin.flush().unwrap();
    let (mut session, head) = scene.backend.take_request();
    session.send(switching(&head, "").as_bytes());
    session.send(b"\x81\x05hello\x88\x02\x03\xe8");
    session.finish_if_open();
    // What the program waits for ends with the session; its input stays open until then.
    let output = child.wait_with_output().unwrap();
    drop((stdin, session));
    output
}

#[test]
fn openssl_has_a_session_in_both_versions_and_with_each_suite() {
    if !has("openssl", "version") {
        return;
    }
    for options in [
        &["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"][..],
        &["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
        &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
    ] {
        let (scene, ca) = scene();
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-connect",
            &scene.gateway.address.to_string(),
            "-servername",
            NAME,
            "-quiet",
        ]);
        command.args(["-verify_hostname", NAME, "-verify_return_error", "-CAfile", &ca]).args(options);
        let output = run(&scene, &mut command, request("/t", "").as_bytes());
        let told = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(told.starts_with("HTTP/1.1 101 ") && told.contains("hello"), "{options:?}: {told} {said}");
        scene.end();
    }
}

#[test]
fn pythons_ssl_has_a_session_and_resumes_it() {
    if !has("python3", "--version") {
        return;
    }
    let (scene, ca) = scene();
    let script = r#"
import socket, ssl, sys
port, name, ca, request = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4].encode()
context = ssl.create_default_context(cafile=ca)
session = None
for expected in (False, True):
    with socket.create_connection(("127.0.0.1", port)) as plain:
        with context.wrap_socket(plain, server_hostname=name, session=session) as secured:
            secured.sendall(request)
            told = b""
            while b"hello" not in told:
                part = secured.recv(4096)
                assert part, told
                told += part
            assert told.startswith(b"HTTP/1.1 101 "), told
            assert secured.session_reused == expected, (secured.session_reused, secured.version())
            session = secured.session
print("python is satisfied")
"#;
    let mut child = Command::new("python3")
        .args(["-c", script, &scene.gateway.address.port().to_string(), NAME, &ca, &request("/t", "")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..2 {
        let (mut session, head) = scene.backend.take_request();
        session.send(switching(&head, "").as_bytes());
        session.send(b"\x81\x05hello");
        // Until the client is gone.
        session.read_to_end();
    }
    let status = child.wait().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    scene.end();
}

#[test]
fn curl_gets_its_101() {
    if !has("curl", "--version") {
        return;
    }
    let (scene, ca) = scene();
    let (address, host) =
        (scene.gateway.address, format!("https://{NAME}:{}/t", scene.gateway.address.port()));
    let resolve = format!("{NAME}:{}:{}", address.port(), address.ip());
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--include", "--no-buffer", "--http1.1", "--max-time", "10"]);
    command.args(["--cacert", &ca, "--resolve", &resolve, "--header", "Connection: Upgrade"]);
    command.args(["--header", "Upgrade: websocket", "--header", "Sec-WebSocket-Version: 13"]);
    command.args(["--header", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", &host]);
    let output = run(&scene, &mut command, b"");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.starts_with("HTTP/1.1 101 "), "{told} {}", String::from_utf8_lossy(&output.stderr));
    scene.end();
}

#[test]
fn a_browser_has_a_session() {
    if !has("chromium", "--version") {
        return;
    }
    let (scene, _) = scene();
    let profile = scene.folder.path().join("profile");
    let page = scene.folder.path().join("page.html");
    // The page is loaded, and shown, when its last part is: the test holds that back.
    let last_part = Backend::new();
    let html = format!(
        "<p id=out>nothing</p><script>const socket = new WebSocket('wss://{NAME}:{}/t');\
         socket.onopen = () => socket.send('from the page');\
         socket.onmessage = event => {{ out.textContent = 'got ' + event.data; socket.send('seen'); }};</script>\
         <script async src='http://{}/last.js'></script>",
        scene.gateway.address.port(),
        last_part.address
    );
    std::fs::write(&page, html).unwrap();
    let child = Command::new("chromium")
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            "--ignore-certificate-errors",
        ])
        .arg(format!("--host-resolver-rules=MAP {NAME} {}", scene.gateway.address.ip()))
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", page.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut holder, _) = last_part.take_request();
    let (mut session, head) = scene.backend.take_request();
    session.send(switching(&head, "").as_bytes());
    // Masked text frames: a header of two bytes, four of mask.
    assert_eq!(session.read(6 + "from the page".len())[..2], [0x81, 0x80 | 13]);
    session.send(b"\x81\x05hello");
    assert_eq!(session.read(6 + "seen".len())[..2], [0x81, 0x80 | 4]);
    holder.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: 0\r\n\r\n");
    let dom = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(dom.contains("got hello"), "{dom}");
    drop((session, holder));
    scene.end();
}
