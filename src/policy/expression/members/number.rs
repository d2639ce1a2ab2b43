//! Members of numbers, `bool`, `Guid`, `Math`, `Convert` and `Random`.

use super::short::{BOOL, BYTES, DOUBLE, GUID, INT, LONG, OBJECT, TEXT};
use super::{Call, Guid, Inner, Kind, Member, Raised, Run, Takes, Type, method, property};
use crate::policy::expression::fault::Exception;
use crate::policy::expression::number::{NoNumber, parse_real, parse_whole};
use crate::policy::expression::run::{Outcome, formatted, number_as};
use crate::policy::expression::value::Value;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

const MATH: Type = Type::Class(Kind::Math);
const CONVERT: Type = Type::Class(Kind::Convert);
const RANDOM: Type = Type::One(Kind::Random);

pub(super) const MEMBERS: &[Member] = &[
    method(INT, "ToString", &[], TEXT, written),
    method(INT, "ToString", &[Takes::A(TEXT)], TEXT, written_as)
        .checked(|arguments| check(&Value::Int(0), arguments)),
    method(INT, "Equals", &[Takes::A(OBJECT)], BOOL, equals),
    method(Type::Class(Kind::Int), "Parse", &[Takes::A(TEXT)], INT, |run, call| parsed(run, call, Kind::Int)),
    method(Type::Class(Kind::Int), "TryParse", &[Takes::A(TEXT), Takes::Out(INT)], INT, |run, call| {
        Ok(parsed(run, call, Kind::Int).unwrap_or(Value::Null))
    }),
    property(Type::Class(Kind::Int), "MaxValue", INT, |_, _| Ok(Value::Int(i32::MAX))),
    property(Type::Class(Kind::Int), "MinValue", INT, |_, _| Ok(Value::Int(i32::MIN))),
    method(LONG, "ToString", &[], TEXT, written),
    method(LONG, "ToString", &[Takes::A(TEXT)], TEXT, written_as)
        .checked(|arguments| check(&Value::Long(0), arguments)),
    method(LONG, "Equals", &[Takes::A(OBJECT)], BOOL, equals),
    method(Type::Class(Kind::Long), "Parse", &[Takes::A(TEXT)], LONG, |run, call| {
        parsed(run, call, Kind::Long)
    }),
    method(Type::Class(Kind::Long), "TryParse", &[Takes::A(TEXT), Takes::Out(LONG)], LONG, |run, call| {
        Ok(parsed(run, call, Kind::Long).unwrap_or(Value::Null))
    }),
    property(Type::Class(Kind::Long), "MaxValue", LONG, |_, _| Ok(Value::Long(i64::MAX))),
    property(Type::Class(Kind::Long), "MinValue", LONG, |_, _| Ok(Value::Long(i64::MIN))),
    method(DOUBLE, "ToString", &[], TEXT, written),
    method(DOUBLE, "ToString", &[Takes::A(TEXT)], TEXT, written_as)
        .checked(|arguments| check(&Value::Double(0.0), arguments)),
    method(DOUBLE, "Equals", &[Takes::A(OBJECT)], BOOL, equals),
    method(Type::Class(Kind::Double), "Parse", &[Takes::A(TEXT)], DOUBLE, |run, call| {
        parsed(run, call, Kind::Double)
    }),
    method(
        Type::Class(Kind::Double),
        "TryParse",
        &[Takes::A(TEXT), Takes::Out(DOUBLE)],
        DOUBLE,
        |run, call| Ok(parsed(run, call, Kind::Double).unwrap_or(Value::Null)),
    ),
    method(Type::Class(Kind::Double), "IsNaN", &[Takes::A(DOUBLE)], BOOL, |_, call| {
        Ok(Value::Bool(call.double(0)?.is_nan()))
    }),
    method(BOOL, "ToString", &[], TEXT, written),
    method(BOOL, "Equals", &[Takes::A(OBJECT)], BOOL, equals),
    method(Type::Class(Kind::Bool), "Parse", &[Takes::A(TEXT)], BOOL, |run, call| {
        parsed(run, call, Kind::Bool)
    }),
    method(Type::Class(Kind::Bool), "TryParse", &[Takes::A(TEXT), Takes::Out(BOOL)], BOOL, |run, call| {
        Ok(parsed(run, call, Kind::Bool).unwrap_or(Value::Null))
    }),
    property(Type::Nullable(Kind::Element), "HasValue", BOOL, |_, call| Ok(Value::Bool(!call.on.is_null())))
        .on_null(),
    property(Type::Nullable(Kind::Element), "Value", Type::One(Kind::Element), |_, call| match &call.on {
        Value::Null => Err(Raised::new(Exception::InvalidOperation, "nullable object must have a value")),
        value => Ok(value.clone()),
    })
    .on_null(),
    method(Type::Nullable(Kind::Element), "GetValueOrDefault", &[], Type::One(Kind::Element), |_, call| {
        match &call.on {
            Value::Null => Ok(call.made.map_or(Value::Null, super::default_of)),
            value => Ok(value.clone()),
        }
    })
    .on_null(),
    method(Type::Nullable(Kind::Element), "ToString", &[], TEXT, written).on_null(),
    method(OBJECT, "ToString", &[], TEXT, written),
    method(OBJECT, "Equals", &[Takes::A(OBJECT)], BOOL, equals),
    method(GUID, "ToString", &[], TEXT, written),
    method(GUID, "ToString", &[Takes::A(TEXT)], TEXT, written_as)
        .checked(|arguments| check(&Value::Guid(Guid([0; 16])), arguments)),
    method(GUID, "Equals", &[Takes::A(GUID)], BOOL, |_, call| {
        Ok(Value::Bool(call.on.equals(&Value::Guid(call.guid(0)?))))
    }),
    method(Type::Class(Kind::Guid), "NewGuid", &[], GUID, |run, _| {
        let bits = u128::from(run.outside.random_bits()) << 64 | u128::from(run.outside.random_bits());
        Ok(Value::Guid(Guid::from_random(bits)))
    })
    .varies(),
    method(Type::Class(Kind::Guid), "Parse", &[Takes::A(TEXT)], GUID, |run, call| {
        parsed(run, call, Kind::Guid)
    }),
    method(Type::Class(Kind::Guid), "new", &[Takes::A(TEXT)], GUID, |run, call| {
        parsed(run, call, Kind::Guid)
    }),
    method(Type::Class(Kind::Guid), "TryParse", &[Takes::A(TEXT), Takes::Out(GUID)], GUID, |run, call| {
        Ok(parsed(run, call, Kind::Guid).unwrap_or(Value::Null))
    }),
    property(Type::Class(Kind::Guid), "Empty", GUID, |_, _| Ok(Value::Guid(Guid([0; 16])))),
    method(Type::Class(Kind::Random), "new", &[], RANDOM, |_, _| Ok(Value::Inner(Inner::Random))),
    method(RANDOM, "Next", &[], INT, |run, _| drawn(run, 0, i64::from(i32::MAX))).varies(),
    method(RANDOM, "Next", &[Takes::A(INT)], INT, |run, call| drawn(run, 0, call.int(0)?.into())).varies(),
    method(RANDOM, "Next", &[Takes::A(INT), Takes::A(INT)], INT, |run, call| {
        drawn(run, call.int(0)?.into(), call.int(1)?.into())
    })
    .varies(),
    method(RANDOM, "NextDouble", &[], DOUBLE, |run, _| {
        Ok(Value::Double((run.outside.random_bits() >> 11) as f64 / (1_u64 << 53) as f64))
    })
    .varies(),
    method(MATH, "Max", &[Takes::A(INT), Takes::A(INT)], INT, |_, call| {
        Ok(Value::Int(call.int(0)?.max(call.int(1)?)))
    }),
    method(MATH, "Max", &[Takes::A(LONG), Takes::A(LONG)], LONG, |_, call| {
        Ok(Value::Long(call.long(0)?.max(call.long(1)?)))
    }),
    method(MATH, "Max", &[Takes::A(DOUBLE), Takes::A(DOUBLE)], DOUBLE, |_, call| {
        let (one, two) = (call.double(0)?, call.double(1)?);
        Ok(Value::Double(if one.is_nan() || two.is_nan() { f64::NAN } else { one.max(two) }))
    }),
    method(MATH, "Min", &[Takes::A(INT), Takes::A(INT)], INT, |_, call| {
        Ok(Value::Int(call.int(0)?.min(call.int(1)?)))
    }),
    method(MATH, "Min", &[Takes::A(LONG), Takes::A(LONG)], LONG, |_, call| {
        Ok(Value::Long(call.long(0)?.min(call.long(1)?)))
    }),
    method(MATH, "Min", &[Takes::A(DOUBLE), Takes::A(DOUBLE)], DOUBLE, |_, call| {
        let (one, two) = (call.double(0)?, call.double(1)?);
        Ok(Value::Double(if one.is_nan() || two.is_nan() { f64::NAN } else { one.min(two) }))
    }),
    method(MATH, "Abs", &[Takes::A(INT)], INT, |_, call| {
        call.int(0)?.checked_abs().map(Value::Int).ok_or_else(no_absolute)
    }),
    method(MATH, "Abs", &[Takes::A(LONG)], LONG, |_, call| {
        call.long(0)?.checked_abs().map(Value::Long).ok_or_else(no_absolute)
    }),
    method(MATH, "Abs", &[Takes::A(DOUBLE)], DOUBLE, |_, call| Ok(Value::Double(call.double(0)?.abs()))),
    method(MATH, "Floor", &[Takes::A(DOUBLE)], DOUBLE, |_, call| Ok(Value::Double(call.double(0)?.floor()))),
    method(MATH, "Ceiling", &[Takes::A(DOUBLE)], DOUBLE, |_, call| Ok(Value::Double(call.double(0)?.ceil()))),
    method(MATH, "Round", &[Takes::A(DOUBLE)], DOUBLE, |_, call| {
        Ok(Value::Double(call.double(0)?.round_ties_even()))
    }),
    method(MATH, "Truncate", &[Takes::A(DOUBLE)], DOUBLE, |_, call| {
        Ok(Value::Double(call.double(0)?.trunc()))
    }),
    method(MATH, "Sqrt", &[Takes::A(DOUBLE)], DOUBLE, |_, call| Ok(Value::Double(call.double(0)?.sqrt()))),
    method(MATH, "Pow", &[Takes::A(DOUBLE), Takes::A(DOUBLE)], DOUBLE, |_, call| {
        Ok(Value::Double(call.double(0)?.powf(call.double(1)?)))
    }),
    method(CONVERT, "ToString", &[Takes::A(OBJECT)], TEXT, |run, call| {
        run.written(call.argument(0)).map(Value::Text)
    }),
    method(CONVERT, "ToInt32", &[Takes::A(OBJECT)], INT, |run, call| converted(run, call, Kind::Int)),
    method(CONVERT, "ToInt64", &[Takes::A(OBJECT)], LONG, |run, call| converted(run, call, Kind::Long)),
    method(CONVERT, "ToDouble", &[Takes::A(OBJECT)], DOUBLE, |run, call| converted(run, call, Kind::Double)),
    method(CONVERT, "ToBoolean", &[Takes::A(OBJECT)], BOOL, |run, call| converted(run, call, Kind::Bool)),
    method(CONVERT, "ToBase64String", &[Takes::A(BYTES)], TEXT, |run, call| {
        let bytes = bytes(call)?;
        run.take_bytes(bytes.len() * 2)?;
        Ok(Value::Text(STANDARD.encode(bytes).into()))
    }),
    method(CONVERT, "FromBase64String", &[Takes::A(TEXT)], BYTES, |run, call| {
        let text = call.text(0)?;
        run.take_bytes(text.len())?;
        let text: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        let wrong = || Raised::new(Exception::Format, "the input is not a valid Base-64 string");
        let bytes = LENIENT.decode(text).map_err(|_| wrong())?;
        byte_array(run, &bytes)
    }),
];

/// .NET looks at padding, not at what the last digit has too much.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

fn written(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    run.written(&call.on).map(Value::Text)
}

/// `value.ToString(format)`.
pub(super) fn written_as(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    let Some(format) = call.text_or_null(0).filter(|format| !format.is_empty()) else {
        return written(run, call);
    };
    run.read(format.len())?;
    let text = formatted(&call.on, format).map_err(|what| Raised::new(Exception::Format, what))?;
    run.take_bytes(text.len())?;
    Ok(Value::Text(text.into()))
}

/// Whether the format in `arguments` is one for values like `like`, if it is written out.
pub(super) fn check(like: &Value, arguments: &[Value]) -> Result<(), String> {
    match arguments {
        [Value::Text(format)] if !format.is_empty() => formatted(like, format).map(|_| ()),
        _ => Ok(()),
    }
}

/// `Equals`: the same type and the same value.
fn equals(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    if let Value::Text(text) = &call.on {
        run.read(text.len())?;
    }
    Ok(Value::Bool(call.on.equals(call.argument(0))))
}

fn no_absolute() -> Raised {
    Raised::new(Exception::Overflow, "negating the minimum value of a number is invalid")
}

fn parsed(run: &mut Run<'_>, call: &Call<'_>, kind: Kind) -> Outcome {
    let text = call.text(0)?;
    run.read(text.len())?;
    parse(text, kind)
}

fn parse(text: &str, kind: Kind) -> Outcome {
    let wrong = |what: &'static str| Raised::new(Exception::Format, what);
    match kind {
        Kind::Int | Kind::Long => {
            let whole = parse_whole(text).map_err(|why| match why {
                NoNumber::Format => wrong("input string was not in a correct format"),
                NoNumber::Overflow => {
                    Raised::new(Exception::Overflow, "value was either too large or too small")
                }
            })?;
            number_as(kind, Value::Long(whole), true)
        }
        Kind::Double => parse_real(text)
            .map(Value::Double)
            .ok_or_else(|| wrong("input string was not in a correct format")),
        Kind::Bool if text.trim().eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
        Kind::Bool if text.trim().eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
        Kind::Bool => Err(wrong("string was not recognized as a valid Boolean")),
        Kind::Guid => Guid::parse(text).map(Value::Guid).ok_or_else(|| wrong("unrecognized Guid format")),
        _ => Err(super::mistyped()),
    }
}

/// Converts a value as `Convert` does, by its type.
fn converted(run: &mut Run<'_>, call: &Call<'_>, to: Kind) -> Outcome {
    match call.argument(0) {
        Value::Null => Ok(super::default_of(to)),
        Value::Text(text) => {
            run.read(text.len())?;
            parse(text, to)
        }
        Value::Bool(value) if to == Kind::Bool => Ok(Value::Bool(*value)),
        Value::Bool(value) => number_as(to, Value::Int((*value).into()), true),
        number @ (Value::Byte(_) | Value::Int(_) | Value::Long(_) | Value::Double(_)) if to == Kind::Bool => {
            let Value::Double(number) = number_as(Kind::Double, number.clone(), false)? else {
                return Err(super::mistyped());
            };
            Ok(Value::Bool(number != 0.0))
        }
        Value::Char(_) if !matches!(to, Kind::Int | Kind::Long) => Err(no_conversion()),
        number @ (Value::Byte(_) | Value::Int(_) | Value::Long(_) | Value::Double(_) | Value::Char(_)) => {
            number_as(to, number.clone(), true)
        }
        _ => Err(no_conversion()),
    }
}

fn no_conversion() -> Raised {
    Raised::new(Exception::InvalidCast, "this value cannot be converted")
}

/// A number from `least` to below `below`.
fn drawn(run: &mut Run<'_>, least: i64, below: i64) -> Outcome {
    let width = u64::try_from(below - least)
        .map_err(|_| Raised::out_of_range("minValue cannot be greater than maxValue"))?;
    // Both are ints, so the product keeps nearly all of the bits' evenness.
    let drawn = ((u128::from(run.outside.random_bits()) * u128::from(width)) >> 64) as i64;
    Ok(Value::Int((least + drawn) as i32))
}

/// The bytes of a `byte[]`.
pub(super) fn bytes(call: &Call<'_>) -> Result<Vec<u8>, Raised> {
    Ok(call
        .list(0)?
        .iter()
        .filter_map(|value| if let Value::Byte(byte) = value { Some(*byte) } else { None })
        .collect())
}

/// A `byte[]`.
pub(super) fn byte_array(run: &mut Run<'_>, bytes: &[u8]) -> Outcome {
    run.take_bytes(size_of_val(bytes) * size_of::<Value>())?;
    Ok(Value::List(bytes.iter().map(|byte| Value::Byte(*byte)).collect()))
}
