//! A gateway with TLS, and what its tests do with it.

use crate::pki::{Authority, Leaf};
use crate::secured::{Client, connect, read_head, send};
use crate::support::backend::{Backend, switching};
use crate::support::raw::{Raw, request};
use crate::support::{TestInstance, api_file};
use rustls::ClientConfig;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// The name in the gateway's certificate.
pub(crate) const NAME: &str = "gateway.example";

/// A gateway whose certificate an authority vouches for, and a plain backend behind it.
pub(crate) struct Secured {
    pub(crate) gateway: TestInstance,
    pub(crate) authority: Authority,
    pub(crate) backend: Backend,
    pub(crate) folder: TempDir,
}

/// The line that gives a listener a certificate, with further keys of its `tls`.
pub(crate) fn tls_line(folder: &Path, leaf: &Leaf, more: &str) -> String {
    let files = leaf.write(folder, "own");
    let at = folder.display();
    format!(
        "tls = {{ certificates = [{{ chain = \"{at}/{}\", key = \"{at}/{}\" }}]{more} }}",
        files.chain, files.key
    )
}

impl Secured {
    pub(crate) fn start() -> Self {
        Self::start_with("", |_, _| String::new())
    }

    /// With further lines of the instance, and further keys of the listener's `tls`.
    pub(crate) fn start_with(limits: &str, more: impl FnOnce(&Authority, &Path) -> String) -> Self {
        let (authority, folder) = (Authority::new("ca"), TempDir::new().unwrap());
        let backend = Backend::new();
        let more = more(&authority, folder.path());
        let tls = tls_line(folder.path(), &authority.leaf(&[NAME]), &more);
        let api = api_file("t", backend.address, "schemes = [\"wss\"]\nlinger_s = 1");
        let instance = format!("workers = 1\ndrain_s = 4\n{limits}");
        let gateway = TestInstance::start_secured(&instance, &tls, &[("t", &api)]);
        Self { gateway, authority, backend, folder }
    }

    /// A session, with both ends in the hands of the test.
    pub(crate) fn open(&self, config: &Arc<ClientConfig>) -> (Client, Raw) {
        let mut client = connect(self.gateway.address, config, NAME);
        send(&mut client, request("/t", "").as_bytes());
        let (mut session, head) = self.backend.take_request();
        session.send(switching(&head, "").as_bytes());
        assert!(read_head(&mut client).starts_with("HTTP/1.1 101 "));
        (client, session)
    }

    /// All is given back.
    pub(crate) fn end(self) {
        self.gateway.wait_for_rest();
        self.gateway.end();
    }
}
