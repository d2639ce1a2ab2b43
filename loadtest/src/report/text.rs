//! Numbers and names as text.

use crate::compare::statistics::Spread;

/// For HTML text and attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Three significant digits, thousands apart: `0.042`, `9.31`, `1,940`.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        return thousands(value);
    }
    let decimals = if size >= 10.0 || size == 0.0 {
        1
    } else if size >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.decimals$}")
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// `0.62×`.
pub(super) fn ratio(value: f64) -> String {
    if value >= 10.0 { format!("{}×", number(value)) } else { format!("{value:.2}×") }
}

/// `9.31 (9.10–9.60)`: median, smallest and largest.
pub(super) fn spread(spread: &Spread) -> String {
    if spread.count == 1 {
        return number(spread.median);
    }
    format!("{} ({}–{})", number(spread.median), number(spread.min), number(spread.max))
}

/// `0.62× (0.60–0.65)`.
pub(super) fn ratio_spread(spread: &Spread) -> String {
    if spread.count == 1 {
        return ratio(spread.median);
    }
    format!("{} ({:.2}–{:.2})", ratio(spread.median), spread.min, spread.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let cases = [
            (0.0, "0.0"),
            (0.0421, "0.042"),
            (9.314, "9.31"),
            (42.04, "42.0"),
            (512.3, "512"),
            (1940.2, "1,940"),
            (1_234_567.0, "1,234,567"),
            (-2500.0, "-2,500"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("<b a=\"x\">'&"), "&lt;b a=&quot;x&quot;&gt;&#39;&amp;");
    }
}
