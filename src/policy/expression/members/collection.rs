//! Members of arrays, lists and sequences: LINQ, as far as handshakes use it.
//!
//! A sequence is evaluated at once where C# would wait until it is used: an exception for an element that nobody asks for is
//! thrown here too.

use std::collections::HashSet;

use super::short::{BOOL, INT};
use super::{Call, Kind, Member, Raised, Run, Takes, Type, default_of, method, property};
use crate::policy::expression::fault::Exception;
use crate::policy::expression::run::{Outcome, order};
use crate::policy::expression::value::Value;

const ELEMENT: Type = Type::One(Kind::Element);
const ARRAY: Type = Type::Array(Kind::Element);
const LIST: Type = Type::List(Kind::Element);
const SEQUENCE: Type = Type::Sequence(Kind::Element);

pub(super) const MEMBERS: &[Member] = &[
    property(ARRAY, "Length", INT, |_, call| count(call)),
    property(LIST, "Count", INT, |_, call| count(call)),
    method(ARRAY, "[]", &[Takes::A(INT)], ELEMENT, |_, call| {
        let outside = || Raised::new(Exception::IndexOutOfRange, "index was outside the bounds of the array");
        at(call)?.ok_or_else(outside)
    }),
    method(LIST, "[]", &[Takes::A(INT)], ELEMENT, |_, call| {
        at(call)?.ok_or_else(|| Raised::out_of_range("index was out of range"))
    }),
    method(SEQUENCE, "Count", &[], INT, |_, call| count(call)).on_null(),
    method(SEQUENCE, "Count", &[Takes::Lambda(Kind::Bool)], INT, |run, call| {
        let kept = filtered(run, call, false)?;
        Ok(Value::Int(i32::try_from(kept.len()).unwrap_or(i32::MAX)))
    })
    .on_null(),
    method(SEQUENCE, "Any", &[], BOOL, |_, call| Ok(Value::Bool(!call.on_list()?.is_empty()))).on_null(),
    method(SEQUENCE, "Any", &[Takes::Lambda(Kind::Bool)], BOOL, |run, call| {
        Ok(Value::Bool(!filtered(run, call, true)?.is_empty()))
    })
    .on_null(),
    method(SEQUENCE, "All", &[Takes::Lambda(Kind::Bool)], BOOL, |run, call| {
        for element in call.on_list()?.iter() {
            if !holds(run, call, element)? {
                return Ok(Value::Bool(false));
            }
        }
        Ok(Value::Bool(true))
    })
    .on_null(),
    method(SEQUENCE, "Where", &[Takes::Lambda(Kind::Bool)], SEQUENCE, |run, call| {
        let kept = filtered(run, call, false)?;
        run.list(kept)
    })
    .on_null(),
    method(SEQUENCE, "Select", &[Takes::Lambda(Kind::Made)], Type::Sequence(Kind::Made), |run, call| {
        let mut made = Vec::new();
        for element in call.on_list()?.iter() {
            run.take_bytes(size_of::<Value>())?;
            made.push(applied(run, call, element)?);
        }
        Ok(Value::List(made.into()))
    })
    .on_null(),
    method(SEQUENCE, "First", &[], ELEMENT, |_, call| {
        call.on_list()?.first().cloned().ok_or_else(no_elements)
    })
    .on_null(),
    method(SEQUENCE, "First", &[Takes::Lambda(Kind::Bool)], ELEMENT, |run, call| {
        filtered(run, call, true)?.pop().ok_or_else(no_elements)
    })
    .on_null(),
    method(SEQUENCE, "FirstOrDefault", &[], ELEMENT, |_, call| {
        Ok(call.on_list()?.first().cloned().unwrap_or_else(|| absent(call)))
    })
    .on_null(),
    method(SEQUENCE, "FirstOrDefault", &[Takes::Lambda(Kind::Bool)], ELEMENT, |run, call| {
        Ok(filtered(run, call, true)?.pop().unwrap_or_else(|| absent(call)))
    })
    .on_null(),
    method(SEQUENCE, "Last", &[], ELEMENT, |_, call| call.on_list()?.last().cloned().ok_or_else(no_elements))
        .on_null(),
    method(SEQUENCE, "LastOrDefault", &[], ELEMENT, |_, call| {
        Ok(call.on_list()?.last().cloned().unwrap_or_else(|| absent(call)))
    })
    .on_null(),
    method(SEQUENCE, "Single", &[], ELEMENT, |_, call| match &**call.on_list()? {
        [one] => Ok(one.clone()),
        [] => Err(no_elements()),
        _ => Err(several()),
    })
    .on_null(),
    method(SEQUENCE, "SingleOrDefault", &[], ELEMENT, |_, call| match &**call.on_list()? {
        [one] => Ok(one.clone()),
        [] => Ok(absent(call)),
        _ => Err(several()),
    })
    .on_null(),
    method(SEQUENCE, "ElementAtOrDefault", &[Takes::A(INT)], ELEMENT, |_, call| {
        Ok(at(call)?.unwrap_or_else(|| absent(call)))
    })
    .on_null(),
    method(SEQUENCE, "Contains", &[Takes::A(ELEMENT)], BOOL, |run, call| {
        let list = call.on_list()?;
        run.take_steps(u32::try_from(list.len()).unwrap_or(u32::MAX))?;
        Ok(Value::Bool(list.iter().any(|element| element.equals(call.argument(0)))))
    })
    .on_null(),
    method(SEQUENCE, "Skip", &[Takes::A(INT)], SEQUENCE, |run, call| {
        let skipped = usize::try_from(call.int(0)?).unwrap_or(0);
        let rest = call.on_list()?.iter().skip(skipped).cloned().collect();
        run.list(rest)
    })
    .on_null(),
    method(SEQUENCE, "Take", &[Takes::A(INT)], SEQUENCE, |run, call| {
        let taken = usize::try_from(call.int(0)?).unwrap_or(0);
        let first = call.on_list()?.iter().take(taken).cloned().collect();
        run.list(first)
    })
    .on_null(),
    method(SEQUENCE, "Reverse", &[], SEQUENCE, |run, call| {
        let reversed = call.on_list()?.iter().rev().cloned().collect();
        run.list(reversed)
    })
    .on_null(),
    method(SEQUENCE, "Concat", &[Takes::A(SEQUENCE)], SEQUENCE, |run, call| {
        let both = call.on_list()?.iter().chain(call.list(0)?.iter()).cloned().collect();
        run.list(both)
    })
    .on_null(),
    method(SEQUENCE, "Distinct", &[], SEQUENCE, |run, call| {
        let list = call.on_list()?;
        let mut seen = HashSet::new();
        let mut kept: Vec<Value> = Vec::new();
        for element in list.iter() {
            let is_new = match element {
                Value::Text(text) => seen.insert(text.clone()),
                other => {
                    run.take_steps(u32::try_from(kept.len()).unwrap_or(u32::MAX))?;
                    !kept.iter().any(|known| known.equals(other))
                }
            };
            if is_new {
                kept.push(element.clone());
            }
        }
        run.take_steps(u32::try_from(list.len()).unwrap_or(u32::MAX))?;
        run.list(kept)
    })
    .on_null(),
    method(SEQUENCE, "ToArray", &[], ARRAY, |_, call| Ok(Value::List(call.on_list()?.clone()))).on_null(),
    method(SEQUENCE, "ToList", &[], LIST, |_, call| Ok(Value::List(call.on_list()?.clone()))).on_null(),
    method(Type::Sequence(Kind::Int), "Sum", &[], INT, |run, call| {
        let list = call.on_list()?;
        run.take_steps(u32::try_from(list.len()).unwrap_or(u32::MAX))?;
        let sum = list.iter().try_fold(0_i32, |sum, value| match value {
            Value::Int(number) => sum.checked_add(*number),
            _ => Some(sum),
        });
        let overflow = || Raised::new(Exception::Overflow, "arithmetic operation resulted in an overflow");
        sum.map(Value::Int).ok_or_else(overflow)
    })
    .on_null(),
    method(Type::Sequence(Kind::Int), "Max", &[], INT, |run, call| {
        extreme(run, call, core::cmp::Ordering::Greater)
    })
    .on_null(),
    method(Type::Sequence(Kind::Int), "Min", &[], INT, |run, call| {
        extreme(run, call, core::cmp::Ordering::Less)
    })
    .on_null(),
];

fn no_elements() -> Raised {
    Raised::new(Exception::InvalidOperation, "sequence contains no elements")
}

fn several() -> Raised {
    Raised::new(Exception::InvalidOperation, "sequence contains more than one element")
}

fn count(call: &Call<'_>) -> Outcome {
    Ok(Value::Int(i32::try_from(call.on_list()?.len()).unwrap_or(i32::MAX)))
}

fn at(call: &Call<'_>) -> Result<Option<Value>, Raised> {
    let index = usize::try_from(call.int(0)?).unwrap_or(usize::MAX);
    Ok(call.on_list()?.get(index).cloned())
}

/// Returns the default where there is no element.
fn absent(call: &Call<'_>) -> Value {
    call.made.map_or(Value::Null, default_of)
}

fn applied(run: &mut Run<'_>, call: &Call<'_>, element: &Value) -> Outcome {
    match call.lambda {
        Some(lambda) => run.apply(lambda, element.clone()),
        None => Err(super::mistyped()),
    }
}

fn holds(run: &mut Run<'_>, call: &Call<'_>, element: &Value) -> Result<bool, Raised> {
    Ok(matches!(applied(run, call, element)?, Value::Bool(true)))
}

/// The elements for which the lambda holds; of these only the first, if that is enough.
fn filtered(run: &mut Run<'_>, call: &Call<'_>, is_first_enough: bool) -> Result<Vec<Value>, Raised> {
    let mut kept = Vec::new();
    for element in call.on_list()?.iter() {
        if holds(run, call, element)? {
            kept.push(element.clone());
            if is_first_enough {
                break;
            }
        }
    }
    Ok(kept)
}

fn extreme(run: &mut Run<'_>, call: &Call<'_>, wanted: core::cmp::Ordering) -> Outcome {
    let list = call.on_list()?;
    run.take_steps(u32::try_from(list.len()).unwrap_or(u32::MAX))?;
    let found =
        list.iter().reduce(|found, next| if order(next, found) == Some(wanted) { next } else { found });
    found.cloned().ok_or_else(no_elements)
}
