//! The files that ringgate serves a plan by: instance, APIs, and a policy document where the plan has one.

use crate::load::greedy;
use crate::plan::{Plan, Tls};
use crate::tls::credentials::Credentials;
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Who listens where.
#[derive(Clone, Copy, Debug)]
pub struct GatewayFiles<'a> {
    /// Where ringgate is to listen.
    pub listener: SocketAddr,
    /// Where it is to speak TLS.
    pub tls_listener: Option<SocketAddr>,
    /// The backend of every session that is measured.
    pub backend: SocketAddr,
    /// The backend of greedy sessions.
    pub greedy_backend: SocketAddr,
    /// Folder of the credentials that it shows, and trusts in a backend.
    pub credentials: &'a Path,
}

impl GatewayFiles<'_> {
    /// Writes them into a folder, in place of what is there, and says where the instance's own file is.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path, plan: &Plan) -> Result<PathBuf> {
        let mut files = vec![("ringgate.toml", self.instance()), ("catalog/apis/echo.toml", self.echo(plan))];
        if plan.greedy.is_some() {
            files.push(("catalog/apis/greedy.toml", self.greedy()));
        }
        if let Some(document) = &plan.policies {
            files.push(("catalog/policies/apis/echo.xml", document.clone()));
        }
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
            }
            Ok(()) | Err(_) => {}
        }
        for (name, text) in files {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(folder.join("ringgate.toml"))
    }

    fn instance(&self) -> String {
        let mut text =
            format!("workers = 1\ndrain_s = 0\n\n[[listeners]]\naddress = \"{}\"\n", self.listener);
        if let Some(address) = self.tls_listener {
            text.push_str(&format!(
                "\n[[listeners]]\naddress = \"{address}\"\ntls = {{ certificates = [{{ chain = {:?}, key = {:?} }}], \
                 min_version = \"1.3\" }}\n",
                Credentials::certificate_file(self.credentials),
                Credentials::key_file(self.credentials)
            ));
        }
        text
    }

    fn echo(&self, plan: &Plan) -> String {
        let (scheme, trust) = if plan.tls == Some(Tls::Both) {
            ("wss", format!("tls = {{ ca = {:?} }}\n", Credentials::authority_file(self.credentials)))
        } else {
            ("ws", String::new())
        };
        api("Echo", "", &format!("{scheme}://{}", plan.backend_authority(self.backend)), &trust)
    }

    fn greedy(&self) -> String {
        api("Greedy", greedy::PATH.trim_start_matches('/'), &format!("ws://{}", self.greedy_backend), "")
    }
}

fn api(display_name: &str, suffix: &str, url: &str, rest: &str) -> String {
    format!(
        "display_name = \"{display_name}\"\nurl = \"{url}\"\nsuffix = \"{suffix}\"\nschemes = [\"ws\", \"wss\"]\n\
         subscription_required = false\n{rest}"
    )
}
