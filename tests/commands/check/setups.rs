//! Set-ups for which an instance does not start: a name, and what is done to a set-up that is in order.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// An instance file with a port of its own.
pub(super) const INSTANCE: &str = "workers = 2\ndrain_s = 0\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";

/// An API that anybody may open.
pub(super) const API: &str =
    "display_name = \"T\"\nurl = \"ws://127.0.0.1:9\"\nsuffix = \"t\"\nsubscription_required = false\n";

/// A set-up at fault.
pub(super) struct Setup {
    pub(super) name: &'static str,
    /// Makes it of one that is in order, in this folder.
    pub(super) breaks: fn(&Path),
}

/// Writes a file, and the folders above it.
pub(super) fn write(folder: &Path, path: &str, contents: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

/// A set-up that is in order.
pub(super) fn in_order(folder: &Path) {
    write(folder, "ringgate.toml", INSTANCE);
    write(folder, "catalog/apis/t.toml", API);
}

fn instance(folder: &Path, lines: &str) {
    write(folder, "ringgate.toml", format!("{lines}\n{INSTANCE}"));
}

fn instance_table(folder: &Path, lines: &str) {
    write(folder, "ringgate.toml", format!("{INSTANCE}{lines}\n"));
}

fn api(folder: &Path, lines: &str) {
    write(folder, "catalog/apis/t.toml", format!("{API}{lines}\n"));
}

fn otlp(folder: &Path, endpoint: &str, lines: &str) {
    instance_table(folder, &format!("[otlp]\nendpoint = \"{endpoint}\"\n{lines}"));
}

fn api_with_url(folder: &Path, url: &str) {
    write(folder, "catalog/apis/t.toml", API.replace("ws://127.0.0.1:9", url));
}

fn policy(folder: &Path, inbound: &str) {
    write(
        folder,
        "catalog/policies/apis/t.xml",
        format!("<policies><inbound>{inbound}</inbound></policies>"),
    );
}

/// Certificates and keys: `one.pem` with `one.key`, and `other.key`.
fn certificates(folder: &Path) {
    for name in ["one", "other"] {
        let made = rcgen::generate_simple_self_signed([format!("{name}.example")]).unwrap();
        write(folder, &format!("{name}.pem"), made.cert.pem());
        write(folder, &format!("{name}.key"), made.signing_key.serialize_pem());
    }
}

fn tls(folder: &Path, chain: &str, key: &str, lines: &str) {
    certificates(folder);
    let tls = format!("tls = {{ certificates = [{{ chain = \"{chain}\", key = \"{key}\" }}]{lines} }}");
    write(folder, "ringgate.toml", format!("{INSTANCE}{tls}\n"));
}

/// A certificate of X.509 version 1: `openssl x509 -req -signkey` makes one where no extensions are given.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBKTCBzwIUdZzi5XfoQkAlC+tdGtjJcTlTlycwCgYIKoZIzj0EAwIwFjEUMBIG
A1UEAwwLb2xkLmV4YW1wbGUwIBcNMjYxMTMwMTc1MDI2WhgPMjEyNjExMDYxNzUw
MjZaMBYxFDASBgNVBAMMC29sZC5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEWlud3RZFaGe/I0hJ2Em7QKL2Om6YwNVvgA4ZzGvRYcBrOerUgX0nthji
DP74J+ubggcVDCj80GuVXk/o+8QOtzAKBggqhkjOPQQDAgNJADBGAiEAxD7TIiR5
9wM7wu4jUwsrWlKcPgafP6FQQa4Hv0/ICCkCIQCX1yhEvV19V9VxzITrndDAZcOP
AKf81bib4/AEx18qiA==
-----END CERTIFICATE-----
";

/// A subscription with a key, and the file of the secret with this text and mode.
fn keyed(folder: &Path, secret: Option<(&str, u32)>) {
    let hash = format!("hmac-sha256:{}", "0".repeat(64));
    let text = format!("display_name = \"A\"\nscope = \"/apis\"\nprimary_key_hash = \"{hash}\"\n");
    write(folder, "catalog/subscriptions/a.toml", text);
    if let Some((text, mode)) = secret {
        self::secret(folder, text, mode);
    }
}

/// Writes the file of the secret.
pub(super) fn secret(folder: &Path, text: &str, mode: u32) {
    write(folder, "ringgate.key", text);
    fs::set_permissions(folder.join("ringgate.key"), fs::Permissions::from_mode(mode)).unwrap();
}

macro_rules! setups {
    ($($name:literal: $breaks:expr,)*) => { &[$(Setup { name: $name, breaks: $breaks }),*] };
}

/// Those whose files are at fault.
pub(super) const OF_FILES: &[Setup] = setups! {
    "no instance file": |at| fs::remove_file(at.join("ringgate.toml")).unwrap(),
    "instance file is a folder": |at| {
        fs::remove_file(at.join("ringgate.toml")).unwrap();
        fs::create_dir(at.join("ringgate.toml")).unwrap();
    },
    "instance file is no toml": |at| instance(at, "workers = = 1"),
    "instance file of a newer release": |at| instance(at, "schema = 2\ngatway = \"edge\""),
    "schema in quotes": |at| instance(at, "schema = \"1\""),
    "unknown key": |at| instance(at, "gatway = \"edge\""),
    "number out of range": |at| write(at, "ringgate.toml", "workers = 0"),
    "number in quotes": |at| write(at, "ringgate.toml", "drain_s = \"30\""),
    "gateway is no name": |at| instance(at, "gateway = \"a b\""),
    "no listener": |at| write(at, "ringgate.toml", "listeners = []"),
    "listener is a table": |at| write(at, "ringgate.toml", "[listeners]\naddress = \"127.0.0.1:0\""),
    "listener with a name for its address": |at| {
        write(at, "ringgate.toml", "[[listeners]]\naddress = \"localhost:8080\"");
    },
    "listener without an address": |at| write(at, "ringgate.toml", "[[listeners]]\n"),
    "two listeners on one address": |at| {
        let listener = "[[listeners]]\naddress = \"127.0.0.1:4711\"\n";
        write(at, "ringgate.toml", listener.repeat(2));
    },
    "status page on a listener's address": |at| {
        let listener = "[[listeners]]\naddress = \"0.0.0.0:4711\"\n[status]\naddress = \"127.0.0.1:4711\"\n";
        write(at, "ringgate.toml", listener);
    },
    "tier without websockets": |at| instance_table(at, "[limits]\ntier = \"consumption\""),
    "misspelt tier": |at| instance_table(at, "[limits]\ntier = \"standrad\""),
    "units without a tier": |at| instance_table(at, "[limits]\nunits = 2"),
    "dead peer time-out too short": |at| instance_table(at, "[limits]\ndead_peer_timeout_s = 3"),
    "trusted network with bits behind its prefix": |at| {
        instance_table(at, "[limits]\ntrusted_networks = [\"10.0.0.1/8\"]");
    },
    "status page beyond loopback": |at| instance_table(at, "[status]\naddress = \"0.0.0.0:9900\""),
    "control socket with a long path": |at| {
        instance_table(at, &format!("[control]\nsocket = \"{}\"", "x".repeat(108)));
    },
    "status page with a name for its address": |at| {
        instance_table(at, "[status]\naddress = \"localhost:9900\"\nbeyond_loopback = true");
    },
    "status host with a port": |at| {
        instance_table(at, "[status]\naddress = \"127.0.0.1:9900\"\nhosts = [\"gateway.example:9900\"]");
    },
    "health path without its slash": |at| instance_table(at, "[health]\npath = \"healthz\""),
    "log folder without a name": |at| instance_table(at, "[logs]\nfolder = \"\""),
    "access lines beside json lines": |at| {
        instance_table(at, "[logs]\njson_stdout = true\naccess_lines = true");
    },
    "catalogue without a name": |at| instance(at, "catalog = \"\""),
    "file of the secret without a name": |at| instance_table(at, "[keys]\nfile = \"\""),
    "status page that is a text": |at| instance(at, "status = \"127.0.0.1:9900\""),
    "otlp without an endpoint": |at| instance_table(at, "[otlp]"),
    "otlp to a websocket": |at| otlp(at, "ws://127.0.0.1:4318", ""),
    "otlp to an url with a query": |at| otlp(at, "http://127.0.0.1:4318/?a=1", ""),
    "otlp to an url with user information": |at| otlp(at, "http://me:pw@127.0.0.1:4318", ""),
    "otlp of nothing": |at| otlp(at, "http://127.0.0.1:4318", "metrics = false\nlogs = false\ntraces = false"),
    "otlp with tls and a plain endpoint": |at| otlp(at, "http://127.0.0.1:4318", "tls = { ca = \"ca.pem\" }"),
    "otlp with a field without a name": |at| otlp(at, "http://127.0.0.1:4318", "headers = [{ value = \"a\" }]"),
    "otlp with a field of http's own": |at| {
        otlp(at, "http://127.0.0.1:4318", "headers = [{ name = \"content-length\", value = \"1\" }]");
    },
    "otlp with a field of two values": |at| {
        otlp(at, "http://127.0.0.1:4318", "headers = [{ name = \"a\", value = \"b\", file = \"c\" }]");
    },
    "otlp with a field without a value": |at| otlp(at, "http://127.0.0.1:4318", "headers = [{ name = \"a\" }]"),
    "otlp with an attribute of nothing": |at| otlp(at, "http://127.0.0.1:4318", "attributes = [{}]"),
    "no catalogue": |at| fs::remove_dir_all(at.join("catalog")).unwrap(),
    "catalogue is a number": |at| instance(at, "catalog = 3"),
    "api is no toml": |at| write(at, "catalog/apis/t.toml", "display_name = "),
    "api of a newer release": |at| write(at, "catalog/apis/t.toml", format!("schema = 2\n{API}")),
    "api without anything": |at| write(at, "catalog/apis/t.toml", ""),
    "api with an https url": |at| write(at, "catalog/apis/t.toml", API.replace("ws://", "https://")),
    "api with a query in its url": |at| write(at, "catalog/apis/t.toml", API.replace(":9", ":9/?a=1")),
    "api with user information in its url": |at| write(at, "catalog/apis/t.toml", API.replace("127", "me:pw@127")),
    "api with a fragment in its url": |at| api_with_url(at, "ws://127.0.0.1:9/#top"),
    "api with port 0 in its url": |at| api_with_url(at, "ws://127.0.0.1:0"),
    "api with a misspelt address in its url": |at| api_with_url(at, "ws://127.0.0.256"),
    "api with a blank in its url's path": |at| api_with_url(at, "ws://127.0.0.1:9/a b"),
    "api with a dot segment in its url": |at| api_with_url(at, "ws://127.0.0.1:9/a/../b"),
    "api with a unix socket for its url": |at| api_with_url(at, "ws+unix:/run/chat.sock"),
    "api with an url that is too long": |at| api_with_url(at, &format!("ws://127.0.0.1:9/{}", "a".repeat(2000))),
    "api with a description that is too long": |at| api(at, &format!("description = \"{}\"", "a".repeat(4001))),
    "api with key names that are none": |at| {
        api(at, "subscription_key_names = { header = \"api key\", query = \"api key\" }");
    },
    "api whose key names are a text": |at| api(at, "subscription_key_names = \"api-key\""),
    "api with an unknown answer to a revoked key": |at| api(at, "on_revoke = \"cut\""),
    "api with unknown frames": |at| api(at, "frames = \"lenient\""),
    "api whose tls is a text": |at| {
        write(at, "catalog/apis/t.toml", API.replace("ws://", "wss://") + "tls = \"ca.pem\"\n");
    },
    "api with an unknown key": |at| api(at, "idle_timout_s = 60"),
    "api with an unknown scheme": |at| api(at, "schemes = [\"http\"]"),
    "api with a version and no version set": |at| api(at, "version = \"v1\""),
    "api that always logs something unknown": |at| api(at, "diagnostics = { always_log = \"errors\" }"),
    "api with an unknown verbosity": |at| api(at, "diagnostics = { verbosity = \"debug\" }"),
    "api that samples too much": |at| api(at, "diagnostics = { sampling = 100.5 }"),
    "api that shows a query parameter without a name": |at| {
        api(at, "diagnostics = { query_names = [\"\"] }");
    },
    "opaque api with a bound": |at| api(at, "frames = \"opaque\"\nframe_bytes_max = 1"),
    "plain api with tls": |at| api(at, "tls = { ca = \"ca.pem\" }"),
    "two apis of one suffix": |at| write(at, "catalog/apis/u.toml", API),
    "api with a product that is not there": |at| {
        write(at, "catalog/products/starter.toml", "display_name = \"S\"");
        api(at, "products = [\"startr\"]");
    },
    "api with two open products": |at| {
        for name in ["one", "two"] {
            let product = "display_name = \"P\"\nsubscription_required = false\n";
            write(at, &format!("catalog/products/{name}.toml"), product);
        }
        api(at, "products = [\"one\", \"two\"]");
    },
    "file name that is no api's": |at| write(at, "catalog/apis/two words.toml", API.replace("\"t\"", "\"u\"")),
    "api that is not utf-8": |at| write(at, "catalog/apis/t.toml", b"display_name = \"\xff\""),
    "api that is a folder": |at| fs::create_dir(at.join("catalog/apis/u.toml")).unwrap(),
    "api that is a fifo": |at| {
        assert!(Command::new("mkfifo").arg(at.join("catalog/apis/u.toml")).status().unwrap().success());
    },
    "api that is too large": |at| write(at, "catalog/apis/t.toml", "#".repeat(1024 * 1024 + 1)),
    "product with an unknown state": |at| {
        write(at, "catalog/products/p.toml", "display_name = \"P\"\nstate = \"draft\"");
    },
    "product that approves nobody": |at| {
        let product = "display_name = \"P\"\nsubscription_required = false\napproval_required = true";
        write(at, "catalog/products/p.toml", product);
    },
    "file name that is no subscription's": |at| {
        write(at, "catalog/subscriptions/two words.toml", "display_name = \"A\"\nscope = \"/apis\"");
    },
    "subscription with a misspelt state": |at| {
        let text = "display_name = \"A\"\nscope = \"/apis\"\nstate = \"canceled\"";
        write(at, "catalog/subscriptions/a.toml", text);
    },
    "subscription with an unknown scope": |at| {
        write(at, "catalog/subscriptions/a.toml", "display_name = \"A\"\nscope = \"/users/a\"");
    },
    "subscription of an api that is not there": |at| {
        write(at, "catalog/subscriptions/a.toml", "display_name = \"A\"\nscope = \"/apis/gone\"");
    },
    "subscription that ends before it starts": |at| {
        let text = "display_name = \"A\"\nscope = \"/apis\"\nstart_date = 2026-01-02T00:00:00Z\nend_date = 2026-01-01T00:00:00Z";
        write(at, "catalog/subscriptions/a.toml", text);
    },
    "keys and no secret": |at| keyed(at, None),
    "secret that others can read": |at| keyed(at, Some((&"0".repeat(64), 0o644))),
    "file of the secret without one": |at| keyed(at, Some(("hush", 0o600))),
    "named value that is no table": |at| write(at, "catalog/named-values.toml", "a = \"1\""),
    "named value with a bad name": |at| write(at, "catalog/named-values.toml", "[\"a b\"]\nvalue = \"1\""),
    "named value without a value": |at| write(at, "catalog/named-values.toml", "[a]\nvalu = \"1\""),
    "version set without a header": |at| {
        write(at, "catalog/version-sets/v.toml", "display_name = \"V\"\nversioning_scheme = \"Header\"");
    },
    "version set with an unused name": |at| {
        let text = "display_name = \"V\"\nversioning_scheme = \"Segment\"\nversion_query_name = \"v\"";
        write(at, "catalog/version-sets/v.toml", text);
    },
    "version set with an unknown scheme": |at| {
        write(at, "catalog/version-sets/v.toml", "display_name = \"V\"\nversioning_scheme = \"Path\"");
    },
    "gateway with an unknown key": |at| write(at, "catalog/gateways/edge.toml", "place = \"x\""),
    "policy document that is no xml": |at| write(at, "catalog/policies/apis/t.xml", "<policies>"),
    "policy document of nothing": |at| write(at, "catalog/policies/apis/gone.xml", "<policies><inbound><a/></inbound></policies>"),
    "policy document in no place": |at| write(at, "catalog/policies/glboal.xml", "<policies/>"),
    "policy document too deep": |at| write(at, "catalog/policies/apis/t/policy.xml", "<policies/>"),
    "base with an attribute": |at| policy(at, "<base id=\"a\"/>"),
    "base within a policy": |at| {
        policy(at, "<choose><when condition=\"@(true)\"><base/></when></choose>");
    },
    "policy with an element that it does not take": |at| {
        policy(at, "<set-variable name=\"x\" value=\"1\"><value>1</value></set-variable>");
    },
    "address without its text": |at| {
        policy(at, "<ip-filter action=\"allow\"><address/></ip-filter>");
    },
    "policy in a document of another scope": |at| policy(at, "<quota calls=\"1\" renewal-period=\"3600\"/>"),
    "policy that may stand once and stands twice": |at| {
        policy(at, &"<rate-limit calls=\"1\" renewal-period=\"60\"/>".repeat(2));
    },
    "section with too many policies": |at| {
        policy(at, &"<set-variable name=\"x\" value=\"1\"/>".repeat(2_001));
    },
    "document with too many regular expressions": |at| {
        policy(at, &"<set-variable name=\"x\" value=\"@(Regex.IsMatch(&quot;a&quot;, &quot;b&quot;))\"/>".repeat(301));
    },
    "policy document that is too large": |at| {
        write(at, "catalog/policies/apis/t.xml", format!("<policies><!--{}--></policies>", "a".repeat(600_000)));
    },
    "section with an attribute": |at| {
        write(at, "catalog/policies/apis/t.xml", "<policies><inbound id=\"a\"/></policies>");
    },
    "forwarding with two time-outs": |at| {
        let backend = "<backend><forward-request timeout=\"5\" timeout-ms=\"5000\"/></backend>";
        write(at, "catalog/policies/apis/t.xml", format!("<policies>{backend}</policies>"));
    },
    "backend by its id": |at| policy(at, "<set-backend-service backend-id=\"blue\"/>"),
    "misspelt policy": |at| policy(at, "<set-headr name=\"X\"/>"),
    "policy in another section": |at| policy(at, "<forward-request/>"),
    "policy that ringgate does not have": |at| policy(at, "<retry condition=\"@(true)\"/>"),
    "policy that does not apply": |at| policy(at, "<cors/>"),
    "policy without an attribute": |at| policy(at, "<set-variable name=\"x\"/>"),
    "policy with a misspelt attribute": |at| policy(at, "<set-variable name=\"x\" value=\"\" valeu=\"1\"/>"),
    "policy with a status that is none": |at| policy(at, "<set-status code=\"600\"/>"),
    "policy with an expression that does not compile": |at| policy(at, "<set-variable name=\"x\" value=\"@(1 + y)\"/>"),
    "policy with a misspelt named value": |at| {
        write(at, "catalog/named-values.toml", "[tenant]\nvalue = \"1\"");
        policy(at, "<set-variable name=\"x\" value=\"{{tenat}}\"/>");
    },
    "policy with a fragment that is not there": |at| policy(at, "<include-fragment fragment-id=\"gone\"/>"),
    "no certificate": |at| tls(at, "none.pem", "one.key", ""),
    "no key": |at| tls(at, "one.pem", "none.key", ""),
    "key of another certificate": |at| tls(at, "one.pem", "other.key", ""),
    "key in the place of a certificate": |at| tls(at, "one.key", "one.key", ""),
    "certificate in the place of a key": |at| tls(at, "one.pem", "one.pem", ""),
    "certificates that are no list": |at| write(at, "ringgate.toml", format!("{INSTANCE}tls = {{ certificates = \"one.pem\" }}\n")),
    "tls without a certificate": |at| write(at, "ringgate.toml", format!("{INSTANCE}tls = {{}}\n")),
    "certificate without its files": |at| write(at, "ringgate.toml", format!("{INSTANCE}tls = {{ certificates = [{{}}] }}\n")),
    "certificate whose file has no name": |at| tls(at, "", "one.key", ""),
    "old version of tls": |at| tls(at, "one.pem", "one.key", ", min_version = \"1.1\""),
    "unknown demand for clients' certificates": |at| tls(at, "one.pem", "one.key", ", client_ca = \"one.pem\", client_auth = \"must\""),
    "clients asked without authorities": |at| tls(at, "one.pem", "one.key", ", client_auth = \"required\""),
    "authorities for clients that are asked for nothing": |at| {
        tls(at, "one.pem", "one.key", ", client_ca = \"one.pem\", client_auth = \"none\"");
    },
    "certificate in der": |at| {
        certificates(at);
        let made = rcgen::generate_simple_self_signed(["der.example".to_owned()]).unwrap();
        write(at, "der.pem", made.cert.der());
        tls(at, "der.pem", "one.key", "");
    },
    "certificate that was cut": |at| {
        tls(at, "cut.pem", "one.key", "");
        let whole = fs::read_to_string(at.join("one.pem")).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        write(at, "cut.pem", [&lines[..2], &lines[lines.len() - 1..]].concat().join("\n"));
    },
    "certificate without its last line": |at| {
        tls(at, "open.pem", "one.key", "");
        let whole = fs::read_to_string(at.join("one.pem")).unwrap();
        write(at, "open.pem", whole.split("-----END").next().unwrap());
    },
    "certificate whose first line was cut": |at| {
        tls(at, "cut.pem", "one.key", "");
        let whole = fs::read_to_string(at.join("one.pem")).unwrap();
        write(at, "cut.pem", whole.replacen("CERTIFICATE-----", "CERTIFICATE--", 1));
    },
    "certificate of version 1": |at| {
        tls(at, "old.pem", "one.key", "");
        write(at, "old.pem", VERSION_1);
    },
    "certificate that is a number": |at| write(at, "ringgate.toml", format!("{INSTANCE}tls = {{ certificates = [1] }}\n")),
    "key of an unknown kind": |at| {
        tls(at, "one.pem", "strange.key", "");
        write(at, "strange.key", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n");
        fs::set_permissions(at.join("strange.key"), fs::Permissions::from_mode(0o600)).unwrap();
    },
    "authorities without a certificate": |at| {
        tls(at, "one.pem", "one.key", ", client_ca = \"empty.pem\", client_auth = \"required\"");
        write(at, "empty.pem", "");
    },
    "pin that is no sha-256": |at| {
        write(at, "catalog/apis/t.toml", API.replace("ws://", "wss://") + "tls = { pin = \"ab\" }\n");
    },
    "pin beside authorities": |at| {
        let tls = format!("tls = {{ ca = \"one.pem\", pin = \"{}\" }}\n", "ab".repeat(32));
        write(at, "catalog/apis/t.toml", API.replace("ws://", "wss://") + &tls);
    },
    "no authorities of clients": |at| tls(at, "one.pem", "one.key", ", client_ca = \"none.pem\", client_auth = \"required\""),
    "authorities of clients that are not asked": |at| tls(at, "one.pem", "one.key", ", client_ca = \"one.pem\""),
    "no authorities of a backend": |at| {
        let api = API.replace("ws://", "wss://") + "tls = { ca = \"none.pem\" }\n";
        write(at, "catalog/apis/t.toml", api);
    },
    "everything at once": |at| {
        keyed(at, None);
        tls(at, "none.pem", "none.key", "");
    },
};

/// Those that the host has no room for, whatever the host.
pub(super) const OF_HOSTS: &[Setup] = setups! {
    "more sessions than open files": |at| instance_table(at, "[limits]\nconnections_max = 10000000"),
    "more openings than open files": |at| {
        let workers = "workers = 256\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[limits]\ntier = \"premium\"\nunits = 31\n";
        write(at, "ringgate.toml", format!("{workers}openings_max = 1000000\n"));
    },
    "address of another host": |at| write(at, "ringgate.toml", "[[listeners]]\naddress = \"192.0.2.1:8080\"\n"),
    "status page on an address of another host": |at| {
        instance_table(at, "[status]\naddress = \"192.0.2.1:9900\"\nbeyond_loopback = true");
    },
    "control socket where a file is": |at| {
        write(at, "socket", "");
        instance_table(at, "[control]\nsocket = \"socket\"");
    },
    "control socket in a folder that is not there": |at| instance_table(at, "[control]\nsocket = \"gone/socket\""),
};
