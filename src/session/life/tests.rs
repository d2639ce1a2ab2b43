//! What the two endpoints of a session see, whatever they do and in whatever order.

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
