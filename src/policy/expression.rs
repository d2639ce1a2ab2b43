//! Policy expressions: `@(…)` and `@{…}` in C#, as Azure API Management takes them, checked at publish and bounded when they run.
//!
//! ```text
//! text ─► lexer ─► parser ─► checker ─► code      once, at publish
//!                              │
//!                         one table of members
//!                              │
//! context ─────────────────► run ─► value or exception      at each handshake
//! ```
//!
//! The property to trust: an expression that compiled meets no unknown name and no value of a wrong type. It ends within a
//! bounded number of steps and bytes, with a value or with an exception that has its C# name; it does no I/O and never panics.
//!
//! # The language
//!
//! | | |
//! |---|---|
//! | literals | `"…"`, `@"…"`, `$"…{x,10:F2}…"`, `'c'`, `1`, `0x1F`, `1L`, `1.5`, `true`, `false`, `null` |
//! | operators | `?:` `??` `\|\|` `&&` `\|` `^` `&` `==` `!=` `<` `>` `<=` `>=` `is` `as` `+` `-` `*` `/` `%` `!`, casts, `?.` `?[]` |
//! | statements | declarations, assignment (also `+=` and its like, `++`, `--`), `if`, `else`, `foreach`, `return`, `throw` |
//! | more | `new T(…)`, `new[] {…}`, `out T name`, `x is T name`, lambdas of one expression, comments |
//! | types and members | `tests/golden/expression-members.txt` lists every one |
//!
//! Differences from C#: sequences (`Where`, `Select`) are evaluated at once; an unassigned variable has its type's default; text
//! is UTF-8, so half of a UTF-16 pair cannot be cut off (that throws); every culture is the invariant one and compares like
//! ordinals; regular expressions take linear time, and those that need backtracking are refused; a double that does not fit an
//! int becomes the nearest one.
//!
//! Not here: named values (`{{name}}`), which are put into the text before; documents and policies.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "kinds, types and values are many; nearly every place is about one or two, and refuses the rest"
)]

mod checker;
mod code;
mod context;
mod fault;
mod lexer;
mod members;
mod number;
mod parser;
mod pattern;
mod run;
mod syntax;
mod types;
mod uri;
mod value;

#[cfg(test)]
mod tests;

pub use super::date_time::{DateTime, TICKS_PER_SECOND, TimeSpan};
pub use context::{
    Api, Certificate, Context, Deployment, ExpressionHost, Fields, LastError, NO_FIELDS, Operation, Product,
    Request, Response, Subscription, Url, User, Variables,
};
pub use fault::{Exception, ExpressionFault, Position, Thrown};
pub use uri::Uri;
pub use value::{BasicCredentials, Guid, Text, Value};

use crate::limits::{EXPRESSION_BYTES_MAX, EXPRESSION_MEMORY_BYTES_MAX, EXPRESSION_STEPS_MAX};
use checker::{Body, Program};
use code::Node;
use fault::Fault;
use run::Run;

/// The use of an expression's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A condition.
    Bool,
    /// A whole number.
    Int,
    /// Text; other values are written as `ToString()` writes them. It may be null.
    Text,
    /// Whatever it is, in a variable.
    Kept,
}

/// Where in a policy document an expression runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Before the backend is dialled.
    Inbound,
    /// The dial.
    Backend,
    /// On the backend's answer. Also what is put off until then, such as `increment-condition`.
    Outbound,
    /// After a failure.
    OnError,
}

impl Section {
    /// Every section, in the order of a document.
    pub const ALL: [Self; 4] = [Self::Inbound, Self::Backend, Self::Outbound, Self::OnError];

    /// The name of its element.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Backend => "backend",
            Self::Outbound => "outbound",
            Self::OnError => "on-error",
        }
    }
}

/// An expression that is ready to run. It is shared between workers and never changes.
#[derive(Debug)]
pub struct Expression {
    text: Text,
    program: Program,
}

impl Expression {
    /// Whether `text` is an expression, and not text that means itself.
    pub fn is_expression(text: &str) -> bool {
        let text = text.trim_start();
        text.starts_with("@(") || text.starts_with("@{")
    }

    /// Compiles `text`, its `@(` and `)` included.
    ///
    /// # Errors
    /// The faults: one if the text cannot be parsed, all of them (up to a bound) if it can.
    pub fn compile(text: &str, wanted: Wanted, section: Section) -> Result<Self, Vec<ExpressionFault>> {
        let placed =
            |faults: Vec<Fault>| faults.into_iter().map(|fault| fault.placed(text)).collect::<Vec<_>>();
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(placed(vec![Fault::new(
                0,
                format!("an expression has at most {EXPRESSION_BYTES_MAX} bytes"),
            )]));
        }
        let syntax = parser::parse(text).map_err(|fault| placed(vec![fault]))?;
        let program = checker::check(&syntax, wanted, section).map_err(placed)?;
        Ok(Self { text: text.into(), program })
    }

    /// The value, if it does not depend on the handshake.
    pub fn constant(&self) -> Option<&Value> {
        match &self.program.body {
            Body::Single(Node::Constant(value)) => Some(value),
            Body::Single(_) | Body::Block(_) => None,
        }
    }

    /// The value for one handshake.
    ///
    /// # Errors
    /// The exception that it threw.
    pub fn evaluate(&self, context: &Context<'_>, outside: &mut dyn ExpressionHost) -> Result<Value, Thrown> {
        let budget = (EXPRESSION_STEPS_MAX, EXPRESSION_MEMORY_BYTES_MAX);
        let mut run = Run::new(context, outside, self.program.slots, budget);
        let outcome = match &self.program.body {
            Body::Single(node) => run.value(node),
            Body::Block(steps) => run.block(steps),
        };
        outcome.map_err(|raised| raised.placed(&self.text))
    }
}

/// Every member of every type, a line each, in the order of the table.
pub fn member_list() -> String {
    members::all().map(|member| format!("{member}\n")).collect()
}
