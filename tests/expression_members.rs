//! The types and members of policy expressions as the code has them, in `tests/golden/expression-members.txt`.

#[path = "support/golden.rs"]
mod golden;

#[test]
fn the_list_is_the_table() {
    golden::assert_golden("expression-members.txt", &ringgate::policy::expression::member_list());
}
