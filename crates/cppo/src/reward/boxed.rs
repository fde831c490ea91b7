//! The answer of a response.

const BOX: &str = "\\boxed{";

/// Content of the last `\boxed{…}`, trimmed: mathruler's `extract_boxed_content`.
///
/// Of nested boxes the inner one counts; escaped braces count as braces. `None` where no box
/// opens or the last one does not close (mathruler answers with the text "None" there).
pub fn extract_boxed_content(response: &str) -> Option<&str> {
    let content = &response[response.rfind(BOX)? + BOX.len()..];
    let mut open = 1usize;
    for (place, byte) in content.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(content[..place].trim());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_box_counts() {
        let cases = [
            ("\\boxed{5}", Some("5")),
            ("a \\boxed{ 1 } b \\boxed{\\frac{1}{2}} c}", Some("\\frac{1}{2}")),
            ("\\boxed{a \\boxed{b} c}", Some("b")),
            ("\\boxed{\\{1, 2\\}}", Some("\\{1, 2\\}")),
            ("\\boxed{\\}}", Some("\\")),
            ("\\boxed{}", Some("")),
            ("\\boxed{é}", Some("é")),
            ("\\boxed{4} and \\boxed{5", None),
            ("\\boxed{\\{}", None),
            ("\\boxed {5}", None),
            ("\\boxed 5", None),
            ("\\fbox{5}", None),
            ("", None),
        ];
        for (response, expected) in cases {
            assert_eq!(extract_boxed_content(response), expected, "{response}");
        }
    }
}
