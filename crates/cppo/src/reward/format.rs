//! The format reward.

/// Whether the whole response matches `<think>.*</think>.*\boxed{.*}.*`, where the dot matches
/// any character (verl's `geo3k`). Nothing may stand before `<think>`.
pub fn follows_format(response: &str) -> bool {
    // The first occurrence of each part leaves most room for the next, so no search backtracks.
    response
        .strip_prefix("<think>")
        .and_then(|rest| rest.split_once("</think>"))
        .and_then(|(_, rest)| rest.split_once("\\boxed{"))
        .is_some_and(|(_, rest)| rest.contains('}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_matches_as_in_verl() {
        let cases = [
            ("<think></think>\\boxed{5}", true),
            ("<think>a\nb</think>\nso \\boxed{\\frac{1}{2}}.\n", true),
            ("<think></think>\\boxed{}", true),
            ("<think>\\boxed{1}</think>\\boxed{2}", true),
            ("<think></think></think><think>\\boxed{\\boxed{5}", true),
            (" <think></think>\\boxed{5}", false),
            ("<think></think>\\boxed {5}", false),
            ("<think>\\boxed{5}</think>", false),
            ("<think>\\boxed{5}", false),
            ("<think></think>\\boxed{5", false),
            ("<think></think>}\\boxed{5", false),
            ("</think><think>\\boxed{5}", false),
            ("\\boxed{5}", false),
            ("", false),
        ];
        for (response, expected) in cases {
            assert_eq!(follows_format(response), expected, "{response}");
        }
    }
}
