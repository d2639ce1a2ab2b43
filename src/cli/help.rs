//! The parts of help texts and man pages besides the options: examples, exit codes, signals, environment variables, files.
//!
//! `--help` and the man pages are both generated from this module. A test runs every example through the parser.
//!
//! Not here: the description of an option (beside the option).

use core::fmt::Write as _;

use super::exit;

/// Examples of `ringgate serve`.
pub const SERVE: &str = "\
Examples:
  ringgate serve                                  # ./ringgate.toml; without one, the demo
  ringgate serve -c /etc/ringgate/ringgate.toml
  ringgate serve --demo --listen 127.0.0.1:9000   # an echo API and a page to try it, at another address
  ringgate serve --listen 0.0.0.0:80 --listen [::]:80
  RINGGATE_LOG=debug ringgate serve               # logs why openings are refused";

/// Examples of `ringgate check`.
pub const CHECK: &str = "\
Examples:
  ringgate check                                  # ./ringgate.toml
  ringgate check -c /etc/ringgate/ringgate.toml";

/// Examples of `ringgate ctl`.
pub const CTL: &str = "\
Examples:
  ringgate ctl status
  ringgate ctl status --json
  ringgate ctl reload -c /etc/ringgate/ringgate.toml
  ringgate ctl drain --socket /run/ringgate/ringgate.sock

Exit codes: 0 it was done; 1 the instance refused; 2 no instance was reached, or it did not answer.";

/// Examples of `ringgate catalogue`.
pub const CATALOGUE: &str = "\
Examples:
  ringgate catalogue check
  ringgate catalogue show
  ringgate catalogue export -c /etc/ringgate/ringgate.toml";

/// Examples of `ringgate catalogue check`.
pub const CATALOGUE_CHECK: &str = "\
Examples:
  ringgate catalogue check
  ringgate catalogue check -c /etc/ringgate/ringgate.toml";

/// Examples of `ringgate catalogue show`.
pub const CATALOGUE_SHOW: &str = "\
Examples:
  ringgate catalogue show
  ringgate catalogue show -c /etc/ringgate/ringgate.toml | less -S";

/// Examples of `ringgate catalogue export`.
pub const CATALOGUE_EXPORT: &str = "\
Examples:
  ringgate catalogue export | jq .apis            # as JSON; secrets are masked";

/// Examples of `ringgate ctl status`.
pub const CTL_STATUS: &str = "\
Examples:
  ringgate ctl status
  ringgate ctl status --json | jq .status.sessions";

/// Examples of `ringgate ctl reload`.
pub const CTL_RELOAD: &str = "\
Examples:
  ringgate ctl reload                             # names every fault if the files are refused";

/// Examples of `ringgate ctl drain`.
pub const CTL_DRAIN: &str = "\
Examples:
  ringgate ctl drain                              # prints how many sessions are left, until there is none";

/// Examples of `ringgate ctl terminate`.
pub const CTL_TERMINATE: &str = "\
Examples:
  ringgate ctl terminate -c /etc/ringgate/ringgate.toml";

/// Examples of `ringgate policy`.
pub const POLICY: &str = "\
Examples:
  ringgate policy check catalog/policies/global.xml catalog/policies/apis/chat.xml
  ringgate policy trace catalog/policies/apis/chat.xml --client 192.0.2.7";

/// Examples of `ringgate policy check`.
pub const POLICY_CHECK: &str = "\
Examples:
  ringgate policy check catalog/policies/global.xml catalog/policies/apis/chat.xml
  ringgate policy check draft.xml -c /etc/ringgate/ringgate.toml";

/// Examples of `ringgate policy trace`.
pub const POLICY_TRACE: &str = "\
Examples:
  ringgate policy trace catalog/policies/apis/chat.xml
  ringgate policy trace catalog/policies/apis/chat.xml --client 192.0.2.7 --header Origin:https://app.example
  ringgate policy trace draft.xml --api chat --answer silent";

/// Examples of `ringgate subscription`.
pub const SUBSCRIPTION: &str = "\
Examples:
  ringgate subscription new-key acme
  ringgate subscription new-key acme --secondary -c /etc/ringgate/ringgate.toml";

/// Examples of `ringgate logs`.
pub const LOGS: &str = "\
Examples:
  ringgate logs                                   # the newest openings
  ringgate logs -f                                # and those to come
  ringgate logs --list                            # questions that have a name
  ringgate logs --name refusals --since 1h
  ringgate logs --query-file by_api.kql -o csv --store /var/lib/ringgate/logs
  ringgate logs --json-lines log.jsonl --json-lines log.jsonl.20261130T140012345Z.gz --name close-codes";

/// Examples of `ringgate logs export`.
pub const LOGS_EXPORT: &str = "\
Examples:
  ringgate logs export --since 1h | jq .
  ringgate logs export --since 2026-11-29 --until 2026-11-30";

/// Examples of `ringgate manual`.
pub const MANUAL: &str = "\
Examples:
  ringgate manual                                 # lists the pages
  ringgate manual reference | less
  ringgate manual endings                         # why sessions end, and what to do";

/// Examples of `ringgate completions`.
pub const COMPLETIONS: &str = "\
Examples:
  ringgate completions bash > /etc/bash_completion.d/ringgate
  ringgate completions zsh > ~/.zfunc/_ringgate
  ringgate completions fish > ~/.config/fish/completions/ringgate.fish";

/// Examples of `ringgate man`.
pub const MAN: &str = "\
Examples:
  ringgate man | man -l -                         # reads ringgate(1)
  ringgate man /usr/local/share/man/man1          # writes a page for every command";

/// Examples of `ringgate` itself.
pub const RINGGATE: &str = "\
Examples:
  ringgate serve                                  # ./ringgate.toml; without one, a demo to try
  ringgate check -c /etc/ringgate/ringgate.toml   # names every fault
  ringgate ctl status                             # asks the running instance";

/// Signals that `ringgate serve` handles, and its reaction.
pub const SIGNALS: [(&str, &str); 4] = [
    (
        "SIGTERM, SIGINT",
        "drain: take no new sessions, close the open ones (1001), end with code 0. Once more, half a second later or after: cut what \
         is left, and end at once",
    ),
    ("SIGHUP", "look at the files, and publish them or log every fault (as ctl reload)"),
    ("SIGUSR1", "write every counter that is not 0 to the log"),
    ("SIGPIPE", "ignored: nothing that serves waits for its log, or ends with its reader"),
];

/// Environment variables.
pub const ENVIRONMENT: [(&str, &str); 7] = [
    ("RINGGATE_CONFIG", "the instance file, where -c is not given"),
    (
        "RINGGATE_LOG",
        "what serve logs: off, error, warn, info (default), debug or trace; or by module, as in \
         info,ringgate::front=debug",
    ),
    ("STATE_DIRECTORY", "the folder of the log store, as systemd sets it"),
    ("RUNTIME_DIRECTORY", "the folder of the control socket, as systemd sets it"),
    (
        "CREDENTIALS_DIRECTORY",
        "the folder of systemd's credentials, whose files may be open to a group; ringgate.key is taken from there if it is there",
    ),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID",
        "set by systemd: where serve says that it is ready, reloads or drains, and how often that it works",
    ),
    (
        "SSL_CERT_FILE, SSL_CERT_DIR",
        "where the system's certificate authorities are, if not where the system has them",
    ),
];

/// Files.
pub const FILES: [(&str, &str); 4] = [
    ("ringgate.toml", "the instance file, in the working folder, where no other one is named"),
    ("catalog/", "the catalogue's folder, beside the instance file unless it names another"),
    ("ringgate.key", "the secret of subscription keys, beside the instance file unless it names another"),
    ("ringgate.sock", "the control socket: in $RUNTIME_DIRECTORY, else beside the instance file"),
];

/// All of these sections, for the end of the help of `ringgate`.
pub fn behind_help() -> String {
    let mut text = format!("{RINGGATE}\n\nExit codes:\n");
    for exit in exit::ALL {
        entry(&mut text, &exit.code.to_string(), exit.meaning);
    }
    for (heading, entries) in [
        ("Signals of ringgate serve", &SIGNALS[..]),
        ("Environment variables", &ENVIRONMENT),
        ("Files", &FILES),
    ] {
        write!(text, "\n{heading}:\n").expect("writing to a String does not fail");
        entries.iter().for_each(|(name, meaning)| entry(&mut text, name, meaning));
    }
    text
}

fn entry(text: &mut String, name: &str, meaning: &str) {
    write!(text, "  {name}\n          {meaning}\n").expect("writing to a String does not fail");
}
