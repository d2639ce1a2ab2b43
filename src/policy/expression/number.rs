//! Numbers as text, as .NET writes and reads them in the invariant culture.

/// The shortest text that reads back as the same double.
pub(super) fn shortest(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    // Rust writes d.ddde-x with as few digits as .NET.
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..15).contains(&exponent) {
        return format!("{number}");
    }
    format!("{digits}E{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// A whole number or a double in one of .NET's standard formats, or in a custom one of zeros (`00`, `0.00`).
///
/// # Errors
/// The part of the format that is not supported.
pub(super) fn formatted(number: Formatted, format: &str) -> Result<String, String> {
    let unsupported = || format!("'{format}' is not supported as a format of numbers");
    if let Some(zeros) = format.strip_prefix('0') {
        let (whole, fraction) = zeros.split_once('.').unwrap_or((zeros, ""));
        if !whole.bytes().chain(fraction.bytes()).all(|byte| byte == b'0') || zeros.len() > PRECISION_MAX {
            return Err(unsupported());
        }
        return Ok(fixed(number, fraction.len(), whole.len() + 1, false));
    }
    let mut characters = format.chars();
    let Some(letter) = characters.next() else { return Ok(number.plain()) };
    let precision = match characters.as_str() {
        "" => None,
        digits if digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse::<usize>().ok()
        }
        _ => return Err(unsupported()),
    };
    match (letter, number) {
        ('D' | 'd', Formatted::Whole(value)) => {
            let digits = format!("{:0width$}", value.unsigned_abs(), width = precision.unwrap_or(1));
            Ok(if value < 0 { format!("-{digits}") } else { digits })
        }
        ('X', Formatted::Whole(_) | Formatted::Int(_)) => {
            Ok(format!("{:0width$X}", number.bits(), width = precision.unwrap_or(1)))
        }
        ('x', Formatted::Whole(_) | Formatted::Int(_)) => {
            Ok(format!("{:0width$x}", number.bits(), width = precision.unwrap_or(1)))
        }
        ('D' | 'd', Formatted::Int(value)) => formatted(Formatted::Whole(i64::from(value)), format),
        ('F' | 'f', _) => Ok(fixed(number, precision.unwrap_or(2), 1, false)),
        ('N' | 'n', _) => Ok(fixed(number, precision.unwrap_or(2), 1, true)),
        ('G' | 'g', _) if precision.is_none_or(|precision| precision == 0) => Ok(number.plain()),
        ('R' | 'r', Formatted::Real(_)) if precision.is_none() => Ok(number.plain()),
        _ => Err(unsupported()),
    }
}

/// Longest custom format, in characters; also more digits than a double has.
const PRECISION_MAX: usize = 99;

/// A number that is to be formatted.
#[derive(Clone, Copy)]
pub(super) enum Formatted {
    Int(i32),
    Whole(i64),
    Real(f64),
}

impl Formatted {
    fn plain(self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Whole(value) => value.to_string(),
            Self::Real(value) => shortest(value),
        }
    }

    fn bits(self) -> u64 {
        match self {
            Self::Int(value) => u64::from(value as u32),
            Self::Whole(value) => value as u64,
            Self::Real(_) => 0,
        }
    }
}

/// With so many digits behind the point and at least so many before it.
fn fixed(number: Formatted, fraction: usize, whole: usize, is_grouped: bool) -> String {
    let (is_negative, text) = match number {
        Formatted::Int(value) => (value < 0, format!("{}.{}", value.unsigned_abs(), "0".repeat(fraction))),
        Formatted::Whole(value) => (value < 0, format!("{}.{}", value.unsigned_abs(), "0".repeat(fraction))),
        Formatted::Real(value) if !value.is_finite() => return shortest(value),
        Formatted::Real(value) => (value < 0.0, rounded(value.abs(), fraction)),
    };
    let (digits, behind) = text.split_once('.').unwrap_or((&text, ""));
    let mut digits = format!("{digits:0>whole$}");
    if is_grouped {
        for at in (1..digits.len()).rev().filter(|at| (digits.len() - at) % 3 == 0).collect::<Vec<_>>() {
            digits.insert(at, ',');
        }
    }
    let sign = if is_negative && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) { "-" } else { "" };
    let point = if fraction == 0 { "" } else { "." };
    format!("{sign}{digits}{point}{behind}")
}

/// Halves away from zero, judged by the shortest digits that stand for the number, as .NET does it.
fn rounded(value: f64, fraction: usize) -> String {
    let shortest = format!("{value}");
    let (whole, behind) = shortest.split_once('.').unwrap_or((&shortest, ""));
    if behind.len() <= fraction {
        return format!("{whole}.{behind:0<fraction$}");
    }
    let mut digits: Vec<u8> = whole.bytes().chain(behind.bytes().take(fraction)).collect();
    if behind.as_bytes()[fraction] >= b'5' {
        let mut carries = true;
        for digit in digits.iter_mut().rev() {
            *digit = if *digit == b'9' { b'0' } else { *digit + 1 };
            if *digit != b'0' {
                carries = false;
                break;
            }
        }
        if carries {
            digits.insert(0, b'1');
        }
    }
    let point = digits.len() - fraction;
    let text: String = digits.into_iter().map(char::from).collect();
    format!("{}.{}", &text[..point], &text[point..])
}

/// Why text is no whole number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoNumber {
    /// It is not written like one.
    Format,
    /// It does not fit.
    Overflow,
}

/// Reads what `int.Parse` and `long.Parse` read: blanks, a sign, digits.
pub(super) fn parse_whole(text: &str) -> Result<i64, NoNumber> {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NoNumber::Format);
    }
    text.parse().map_err(|_| NoNumber::Overflow)
}

/// Reads what `double.Parse` reads: blanks, a sign, digits with commas, a fraction, an exponent.
pub(super) fn parse_real(text: &str) -> Option<f64> {
    let text = text.trim();
    match text {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(f64::INFINITY),
        "-Infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let plain: String = text.chars().filter(|character| *character != ',').collect();
    let is_number = plain.bytes().any(|byte| byte.is_ascii_digit())
        && plain
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
    if is_number { plain.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_dotnet_writes_them() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1.5e-5, "1.5E-05"),
            (0.0001, "0.0001"),
            (123_456_789.125, "123456789.125"),
            (1e14, "100000000000000"),
            (1e15, "1E+15"),
            (1.234e20, "1.234E+20"),
            (f64::MAX, "1.7976931348623157E+308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(shortest(number), expected);
        }
    }

    #[test]
    fn standard_and_zero_formats() {
        for (number, format, expected) in [
            (Formatted::Int(7), "D3", "007"),
            (Formatted::Int(-7), "D3", "-007"),
            (Formatted::Int(255), "X", "FF"),
            (Formatted::Int(-1), "x", "ffffffff"),
            (Formatted::Whole(-1), "x", "ffffffffffffffff"),
            (Formatted::Int(255), "x4", "00ff"),
            (Formatted::Real(2.345), "F2", "2.35"),
            (Formatted::Real(-2.5), "F0", "-3"),
            (Formatted::Real(9.999), "0.00", "10.00"),
            (Formatted::Real(-0.001), "F2", "0.00"),
            (Formatted::Int(5), "00", "05"),
            (Formatted::Int(1_234_567), "N0", "1,234,567"),
            (Formatted::Real(1234.5), "N", "1,234.50"),
            (Formatted::Int(999), "N0", "999"),
            (Formatted::Real(1.5), "G", "1.5"),
        ] {
            assert_eq!(formatted(number, format).as_deref(), Ok(expected), "{format}");
        }
        for format in ["D", "C", "P1", "#", "0.0#", "F123", "É"] {
            assert!(formatted(Formatted::Real(1.0), format).is_err(), "{format}");
        }
    }

    #[test]
    fn reads_numbers() {
        assert_eq!(parse_whole(" -12 "), Ok(-12));
        assert_eq!(parse_whole("+12"), Ok(12));
        assert_eq!(parse_whole("1.0"), Err(NoNumber::Format));
        assert_eq!(parse_whole("--1"), Err(NoNumber::Format));
        assert_eq!(parse_whole("9223372036854775808"), Err(NoNumber::Overflow));
        assert_eq!(parse_real(" 1,234.5e1 "), Some(12_345.0));
        assert_eq!(parse_real("inf"), None);
        assert_eq!(parse_real("e"), None);
    }
}
