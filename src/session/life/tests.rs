//! Tests of what the two endpoints of a session see, for every action in every order.

mod crossings;
mod driver;
mod endings;
mod farewells;
mod half_closed;
mod invariants;
mod lost;
mod moves;
mod random;
mod records;
mod transitions;
