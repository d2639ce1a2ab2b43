//! Text for people: display names and descriptions, of which each entity has its own lengths.

/// A display name: 1 to `chars_max` characters in one line.
///
/// # Errors
/// A description of the allowed text.
pub(super) fn parse_display_name(text: &str, chars_max: usize) -> Result<String, String> {
    let is_display_name =
        (1..=chars_max).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if is_display_name { Ok(text.to_owned()) } else { Err(display_name_allowed(chars_max)) }
}

/// Describes the allowed display names.
pub(super) fn display_name_allowed(chars_max: usize) -> String {
    format!("a text of 1 to {chars_max} characters in one line")
}

/// Text of any lines, at most `chars_max` characters.
///
/// # Errors
/// A description of the allowed text.
pub(super) fn parse_description(text: &str, chars_max: usize) -> Result<String, String> {
    if text.chars().count() <= chars_max {
        Ok(text.to_owned())
    } else {
        Err(format!("a text of at most {chars_max} characters"))
    }
}
