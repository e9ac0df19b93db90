//! Numbers as the table prints them.

/// Returns a number with three significant digits, and thousands separated: `0.9`, `1.46`, `144,000`.
pub(super) fn text(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "?".to_owned() } else { "∞".to_owned() };
    }
    let decimals = match value.abs() {
        magnitude if magnitude >= 100.0 => 0,
        magnitude if magnitude >= 10.0 => 1,
        magnitude if magnitude >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let whole = with_separators(whole);
    if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") }
}

fn with_separators(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        let following = digits.len() - index;
        if index > 0 && following.is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        let texts = [
            (0.0, "0"),
            (0.9, "0.9"),
            (0.1234, "0.123"),
            (1.461, "1.46"),
            (12.0, "12"),
            (21.34, "21.3"),
            (144_049.4, "144,049"),
            (1_000_000.0, "1,000,000"),
            (-123.0, "-123"),
            (f64::INFINITY, "∞"),
        ];
        for (value, expected) in texts {
            assert_eq!(text(value), expected);
        }
    }
}
