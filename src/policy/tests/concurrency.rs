//! `limit-concurrency`: who is let in, and what is held.

use super::scene::Scene;

const FULL: &str = "HTTP/1.1 429 Too Many Requests\nContent-Type: application/json\nContent-Length: 83\nConnection: close\n\n\
                    { \"statusCode\": 429, \"message\": \"Concurrency limit is exceeded. Try again later.\" }";

#[test]
fn lets_in_as_many_as_max_count_says_under_the_key() {
    let scene = Scene::inbound(
        "<limit-concurrency key=\"@(context.Request.IpAddress)\" max-count=\"2\">\
           <set-header name=\"X-In\"><value>1</value></set-header></limit-concurrency>",
    );
    for (key, taken, is_in) in
        [("192.0.2.7", 0, true), ("192.0.2.7", 1, true), ("192.0.2.7", 2, false), ("192.0.2.8", 2, true)]
    {
        let outcome = scene.clone().slots_taken(key, taken).run();
        assert_eq!(outcome.asked.contains("X-In: 1\n"), is_in, "{key} {taken}: {outcome:?}");
        assert_eq!(outcome.slots, usize::from(is_in), "{key} {taken}");
        if !is_in {
            assert_eq!(outcome.answered, FULL);
            let error = outcome.last_error.expect("an error");
            assert_eq!((error.source, error.reason), ("limit-concurrency", "ConcurrencyLimitExceeded"));
            assert_eq!(&*error.path, "limit-concurrency[1]");
        }
    }
}

#[test]
fn a_session_counts_once_under_each_key() {
    let limit = |key: &str, most: u32, inner: &str| {
        format!("<limit-concurrency key=\"{key}\" max-count=\"{most}\">{inner}</limit-concurrency>")
    };
    let twice = Scene::inbound(&limit("a", 5, &limit("b", 5, &limit("a", 3, ""))));
    assert_eq!(twice.clone().slots_taken("a", 2).run().slots, 2);
    // The inner one of the same key is the stricter.
    let refused = twice.slots_taken("a", 3).run();
    assert_eq!(refused.answered, FULL);
    assert_eq!(
        &*refused.last_error.expect("an error").path,
        "limit-concurrency[1]/limit-concurrency[1]/limit-concurrency[1]"
    );
}

#[test]
fn stands_around_the_dial_and_anywhere_else() {
    let around = Scene::new().file(
        "policies/apis/chat.xml",
        "<policies><backend><limit-concurrency key=\"b\" max-count=\"1\"><forward-request timeout=\"5\"/>\
         </limit-concurrency></backend></policies>",
    );
    assert_eq!(around.run().slots, 1);
    let full = around.slots_taken("b", 1).run();
    assert_eq!((full.asked.as_str(), full.answered.as_str()), ("", FULL));
    let outbound = Scene::with("outbound", "<limit-concurrency key=\"o\" max-count=\"1\"/>");
    assert_eq!(outbound.run().slots, 1);
    assert_eq!(outbound.slots_taken("o", 1).run().answered, FULL);
    let on_error = Scene::with("on-error", "<limit-concurrency key=\"e\" max-count=\"1\"/>");
    assert_eq!(on_error.backend_is_silent().run().slots, 1);
}

#[test]
fn a_session_holds_a_bounded_number_of_slots() {
    let many = |count: u32| -> String {
        (0..count).map(|key| format!("<limit-concurrency key=\"{key}\" max-count=\"1\"/>")).collect()
    };
    assert_eq!(Scene::inbound(&many(8)).run().slots, 8);
    let over = Scene::inbound(&many(9)).run();
    assert!(over.answered.starts_with("HTTP/1.1 500 "), "{over:?}");
}

#[test]
fn refuses_what_it_cannot_count_by() {
    for (attributes, about) in [
        ("key=\"a\"", "limit-concurrency max-count"),
        ("max-count=\"1\"", "limit-concurrency key"),
        ("key=\"a\" max-count=\"0\"", "a number from 1 to"),
        ("key=\"a\" max-count=\"-1\"", "a number from 1 to"),
        ("key=\"a\" max-count=\"@(1)\"", "an expression is not"),
        ("key=\"@(1 + )\" max-count=\"1\"", "correct the expression"),
    ] {
        let faults = Scene::inbound(&format!("<limit-concurrency {attributes}/>")).faults();
        assert_eq!(faults.len(), 1, "{attributes}: {faults:?}");
        assert!(faults[0].contains(about), "{attributes}: {faults:?}");
    }
}
