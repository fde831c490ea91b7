//! What a response says: its reasoning and its answer.

/// The parts of a response in CPPO's format.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Text between `<think>` and `</think>`; to the end where it was not finished.
    pub think: Option<String>,
    /// Content of the last `\boxed{…}` whose braces balance.
    pub answer: Option<String>,
}

const BOX: &str = "\\boxed{";

impl Answer {
    /// Finds reasoning and answer in time linear in the text.
    pub fn parse(text: &str) -> Self {
        let think = text.find("<think>").map(|start| {
            let rest = &text[start + "<think>".len()..];
            rest.find("</think>").map_or(rest, |end| &rest[..end]).trim().to_string()
        });
        Self { think, answer: last_box(text).map(|answer| answer.trim().to_string()) }
    }
}

/// The box that opens last among those that close.
fn last_box(text: &str) -> Option<&str> {
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut last: Option<(usize, usize)> = None;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => {
                let boxed = text.as_bytes()[..=place].ends_with(BOX.as_bytes());
                open.push(boxed.then_some(place + 1));
            }
            b'}' => {
                if let Some(Some(start)) = open.pop()
                    && last.is_none_or(|(other, _)| other < start)
                {
                    last = Some((start, place));
                }
            }
            _ => {}
        }
    }
    last.map(|(start, end)| &text[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_and_answer_are_found() {
        let cases = [
            ("<think> a b </think> \\boxed{2}", Some("a b"), Some("2")),
            ("<think>never done", Some("never done"), None),
            ("\\boxed{\\frac{1}{2}} then \\boxed{ 3 }", None, Some("3")),
            ("\\boxed{\\frac{1}{2}}", None, Some("\\frac{1}{2}")),
            ("\\boxed{4} and \\boxed{5", None, Some("4")),
            ("\\boxed{a \\boxed{b} c}", None, Some("b")),
            ("} \\boxed{}", None, Some("")),
            ("boxed{1}", None, None),
            ("", None, None),
        ];
        for (text, think, answer) in cases {
            let found = Answer::parse(text);
            assert_eq!(
                (found.think.as_deref(), found.answer.as_deref()),
                (think, answer),
                "{text}"
            );
        }
    }

    #[test]
    fn a_megabyte_of_open_boxes_takes_no_time() {
        let text = "\\boxed{".repeat(150_000);
        assert_eq!(Answer::parse(&text).answer, None);
        let closed = text + &"}".repeat(150_000);
        assert_eq!(Answer::parse(&closed).answer.as_deref(), Some(""));
    }
}
