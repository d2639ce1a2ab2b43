//! The cost of policies for a handshake: each by itself, and usual documents; and the cost of a document for a publish.
//!
//! `nothing` is the floor: the exchange is made, and an empty document runs over it. The cost of a policy is its row less that.
//! `guarded_document` takes a head, finds the API and the subscription of its key, and lets it in by token and rate;
//! `es256_alone` is the check of that token's signature and nothing else.

use std::hint::black_box;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use ringgate::catalog::CatalogFiles;
use ringgate::catalog::access::Access;
use ringgate::catalog::given_key::GivenKey;
use ringgate::catalog::subscription_key::KeyHasher;
use ringgate::catalog::timestamp::Timestamp;
use ringgate::compiled::{Snapshot, compile};
use ringgate::head::{RequestHead, Target};
use ringgate::policy::contract::{PolicyHost, TraceLine};
use ringgate::policy::exchange::{EvaluationTime, Exchange, ExchangeParts, Fields, Response};
use ringgate::policy::expression::{DateTime, ExpressionHost, Guid, TimeSpan};
use ringgate::policy::guards::Guards;
use ringgate::policy::machine::{Yield, start};
use ringgate::shared_counts::policy_guards::PolicyGuards;

#[derive(Default)]
struct Worker(PolicyGuards);

impl ExpressionHost for Worker {
    fn random_bits(&mut self) -> u64 {
        7
    }

    fn trace(&mut self, _: &str) {}
}

impl PolicyHost for Worker {
    fn guards(&self) -> Guards<'_> {
        self.0.now()
    }

    fn log(&mut self, line: TraceLine) {
        black_box(line);
    }
}

const API: &str =
    "display_name = \"Chat\"\nurl = \"ws://backend:9001/socket\"\nsuffix = \"chat\"\nproducts = [\"p\"]\n";

/// A handshake as a browser sends it.
const HEAD: &str = "GET /chat/room?version=2&deployment=name HTTP/1.1\r\nHost: gateway.example.com\r\n\
    Connection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
    Upgrade: websocket\r\nOrigin: https://app.example.com\r\nSec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\nX-Tenant: blue\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

const SET_HEADER: &str =
    "<set-header name=\"X-Made\" exists-action=\"override\"><value>one</value></set-header>";

const CHECK_HEADER: &str = "<check-header name=\"X-Tenant\" failed-check-httpcode=\"403\" \
    failed-check-error-message=\"no\" ignore-case=\"true\"><value>green</value><value>blue</value></check-header>";

const CHOOSE: &str = "<choose><when condition=\"@(context.Request.Url.Query.GetValueOrDefault(&quot;version&quot;) == &quot;1&quot;)\">\
    <set-backend-service base-url=\"wss://one.example\"/></when><otherwise>\
    <set-backend-service base-url=\"wss://two.example\"/></otherwise></choose>";

/// Names, and policies of an inbound section. No limit is ever reached. (What `forward-request` costs is in every row.)
const POLICIES: [(&str, &str); 20] = [
    ("nothing", ""),
    ("set_header", SET_HEADER),
    (
        "set_header_evaluated",
        "<set-header name=\"X-Made\"><value>@(\"at \" + context.Request.OriginalUrl.Host)</value></set-header>",
    ),
    ("check_header", CHECK_HEADER),
    ("set_variable", "<set-variable name=\"a\" value=\"@(context.Request.IpAddress)\"/>"),
    ("set_query_parameter", "<set-query-parameter name=\"b\"><value>2</value></set-query-parameter>"),
    ("rewrite_uri", "<rewrite-uri template=\"/rooms/blue\"/>"),
    ("choose_backend", CHOOSE),
    ("authentication_basic", "<authentication-basic username=\"ann\" password=\"secret\"/>"),
    ("set_status", "<set-status code=\"200\" reason=\"Fine\"/>"),
    ("include_fragment", "<include-fragment fragment-id=\"mark\"/>"),
    ("trace", "<trace source=\"bench\"><message>@(context.Request.OriginalUrl.Path)</message></trace>"),
    (
        "ip_filter",
        "<ip-filter action=\"allow\"><address-range from=\"192.0.2.0\" to=\"192.0.2.255\"/></ip-filter>",
    ),
    (
        "validate_jwt_hs256",
        "<validate-jwt token-value=\"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDB9.\
         ArYAibI1dlEDn27QomKqp1zyziq6-wQFXqVftb2VgKM\"><issuer-signing-keys><key>MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\
         </key></issuer-signing-keys></validate-jwt>",
    ),
    ("rate_limit", "<rate-limit calls=\"1000000000\" renewal-period=\"60\"/>"),
    (
        "rate_limit_by_key",
        "<rate-limit-by-key calls=\"1000000000\" renewal-period=\"60\" counter-key=\"@(context.Request.IpAddress)\"/>",
    ),
    ("quota", "<quota calls=\"1000000000\" renewal-period=\"3600\"/>"),
    (
        "quota_by_key",
        "<quota-by-key calls=\"1000000000\" renewal-period=\"3600\" counter-key=\"@(context.Request.IpAddress)\"/>",
    ),
    ("limit_concurrency", "<limit-concurrency key=\"@(context.Request.IpAddress)\" max-count=\"100\"/>"),
    ("return_response", "<return-response><set-status code=\"400\"/></return-response>"),
];

fn document(inbound: &str) -> String {
    format!("<policies><inbound><base/>{inbound}</inbound><backend><base/></backend></policies>")
}

/// An API in a product with this document, which has one subscription.
fn snapshot(document: &str) -> Snapshot {
    let mut files = CatalogFiles::default();
    files.insert("apis/chat.toml", API);
    files.insert("products/p.toml", "display_name = \"P\"\n");
    files.insert("subscriptions/acme.toml", "display_name = \"Acme\"\nscope = \"/products/p\"\n");
    files.insert("policies/products/p.xml", document);
    files.insert("policies/fragments/mark.xml", format!("<fragment>{SET_HEADER}</fragment>"));
    compile(&files, None).expect("no fault")
}

/// One handshake, from its parsed head to the backend's 101.
fn run(snapshot: &Snapshot, access: &Access<'_>, request: &RequestHead, worker: &mut Worker) -> Yield {
    let Target::Origin { path, .. } = request.target() else { panic!("a path") };
    let api = &snapshot.served()[0];
    let pipeline = snapshot.policies_of(api, access).expect("a pipeline");
    let mut exchange = Exchange::new(&ExchangeParts {
        request,
        scheme: "https",
        rest: &path[5..],
        api,
        api_path: "chat",
        access,
        client: [192, 0, 2, 1].into(),
        certificate: None,
        gateway: "",
        request_id: Guid([7; 16]),
        timestamp: DateTime::MIN,
    });
    let moment =
        EvaluationTime { now: DateTime::from_unix_seconds(NOW_S).expect("a moment"), elapsed: TimeSpan(0) };
    match start(pipeline, &mut exchange, moment, worker) {
        Yield::Dial(dialling) => {
            black_box(exchange.target());
            let answer = Response::of_backend(101, b"Switching Protocols", Fields::default());
            dialling.resume(Ok(answer), &mut exchange, moment, worker)
        }
        ended @ (Yield::PassOn | Yield::Respond(_)) => ended,
    }
}

const NOW_S: i64 = 1_800_000_000;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Who has `key` is let in by a token of ES256, within a rate, and is told to the backend.
fn guarded(criterion: &mut Criterion) {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .expect("a key pair");
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).expect("a key pair");
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a public key");
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"JWT","kid":"k1"}"#),
        URL_SAFE_NO_PAD.encode(
            r#"{"iss":"https://login.example/","aud":"api://chat","sub":"ann","exp":1800003600,"nbf":1799999000,"scp":"chat.read chat.write"}"#
        )
    );
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let policies = format!(
        "<validate-jwt header-name=\"Authorization\" require-scheme=\"Bearer\" output-token-variable-name=\"jwt\">\
         <issuer-signing-keys><key id=\"k1\">{}</key></issuer-signing-keys>\
         <audiences><audience>api://chat</audience></audiences><issuers><issuer>https://login.example/</issuer></issuers>\
         <required-claims><claim name=\"scp\" match=\"all\" separator=\" \"><value>chat.read</value></claim></required-claims>\
         </validate-jwt>\
         <rate-limit-by-key calls=\"1000000000\" renewal-period=\"60\" counter-key=\"@(context.Subscription.Id)\"/>\
         <set-header name=\"X-User\"><value>@(((Jwt)context.Variables[\"jwt\"]).Subject)</value></set-header>\
         <set-header name=\"X-Gateway\"><value>ringgate</value></set-header>",
        STANDARD.encode(public.as_ref())
    );
    let hasher = || KeyHasher::new(&[7; 32]);
    let mut files = CatalogFiles::default();
    files.insert(
        "apis/chat.toml",
        "display_name = \"Chat\"\nurl = \"ws://backend:9001/socket\"\nsuffix = \"chat\"\n",
    );
    files.insert("policies/apis/chat.xml", document(&policies));
    let hash = hasher().text_of(KEY.as_bytes());
    files.insert(
        "subscriptions/acme.toml",
        format!("display_name = \"Acme\"\nscope = \"/apis/chat\"\nprimary_key_hash = \"{hash}\"\n"),
    );
    let snapshot = compile(&files, None).expect("no fault").with_key_hasher(hasher());
    let fields = format!("Ocp-Apim-Subscription-Key: {KEY}\r\nAuthorization: Bearer {token}\r\n\r\n");
    let head = Bytes::from(HEAD.strip_suffix("\r\n").expect("a head").to_owned() + &fields);
    let mut worker = Worker::default();
    let mut let_in = || {
        let request = RequestHead::parse(black_box(&head).clone()).expect("a head");
        let Target::Origin { path, query } = request.target() else { panic!("a path") };
        let api = snapshot.route(path).expect("a path in order").expect("an api").api;
        let given = GivenKey::find(&api.key_names, request.headers(), query);
        let now = Timestamp::from_unix(NOW_S.unsigned_abs());
        let access = snapshot.access(api, &given, now).expect("a valid key");
        run(&snapshot, &access, &request, &mut worker)
    };
    assert!(matches!(let_in(), Yield::PassOn));
    let mut group = criterion.benchmark_group("policies");
    group.bench_function("guarded_document", |bencher| bencher.iter(&mut let_in));
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
    group.bench_function("es256_alone", |bencher| {
        bencher.iter(|| key.verify(black_box(signed.as_bytes()), signature.as_ref()).expect("a signature"));
    });
    group.finish();
}

fn policies(criterion: &mut Criterion) {
    let request = RequestHead::parse(Bytes::from_static(HEAD.as_bytes())).expect("a head");
    let mut group = criterion.benchmark_group("policies");
    let usual = [CHECK_HEADER, CHOOSE, SET_HEADER, SET_HEADER].concat();
    for (name, inbound) in POLICIES.into_iter().chain([("usual_document", usual.as_str())]) {
        let snapshot = snapshot(&document(inbound));
        let mut worker = Worker::default();
        let entities = snapshot.entities();
        let access = Access {
            subscription: entities.subscriptions.first(),
            product: entities.products.values().next(),
        };
        let mut run_once = || run(black_box(&snapshot), &access, black_box(&request), &mut worker);
        let is_let_in = matches!(run_once(), Yield::PassOn);
        assert_eq!(is_let_in, name != "return_response", "{name}");
        group.bench_function(name, |bencher| bencher.iter(&mut run_once));
    }
    let usual = document(&usual);
    group.bench_function("compile_usual_document", |bencher| bencher.iter(|| snapshot(black_box(&usual))));
    group.finish();
}

criterion_group!(benches, policies, guarded);
criterion_main!(benches);
