//! The types and members of policy expressions as the code has them, in `tests/golden/expression-members.txt`.

#[test]
fn the_list_is_the_table() {
    crate::golden::assert_golden("expression-members.txt", &ringgate::policy::expression::member_list());
}
