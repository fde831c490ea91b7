//! The answer of a response.

/// Words before an answer in prose, in lower case.
const LEADS: [&str; 8] = [
    "answer is",
    "answers are",
    "answer:",
    "answer =",
    "answer**:",
    "answer:**",
    "result is",
    "option is",
];

/// A response of one line with at most this many words is an answer as a whole.
const MAX_WORDS: usize = 6;

/// The answer of a response: the content of its last balanced `\boxed{…}` or `\fbox{…}`.
///
/// Without one, what follows the last "the answer is", "answer:" and the like up to the end of
/// its sentence; else a response of a few words as a whole; else the last number or option letter
/// in brackets. What stands after `</think>` goes before what stands within. Linear in time.
pub fn extract_answer(response: &str) -> Option<&str> {
    let conclusion = response.rsplit_once("</think>").map_or(response, |(_, rest)| rest);
    last_box(conclusion)
        .or_else(|| last_box(response))
        .or_else(|| in_prose(conclusion))
        .filter(|answer| !answer.is_empty())
}

/// Content of the balanced box that opens last, trimmed; backslashes escape braces.
pub(super) fn last_box(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut last: Option<(usize, usize)> = None;
    let mut place = 0;
    while place < bytes.len() {
        match bytes[place] {
            b'\\' => {
                let rest = &text[place + 1..];
                let named = ["boxed", "fbox"].iter().find_map(|name| rest.strip_prefix(name));
                if let Some(after) = named {
                    let argument = after.trim_start();
                    place = text.len() - argument.len();
                    if argument.starts_with('{') {
                        open.push(Some(place + 1));
                        place += 1;
                    } else if let Some(length) = bare(argument) {
                        last = Some((place, place + length));
                    }
                    continue;
                }
                place += 1;
            }
            b'{' => open.push(None),
            b'}' => {
                if let Some(Some(start)) = open.pop()
                    && last.is_none_or(|(other, _)| other < start)
                {
                    last = Some((start, place));
                }
            }
            _ => {}
        }
        place += 1;
    }
    last.map(|(start, end)| text[start..end].trim())
}

/// Length of a number or word behind `\boxed` without braces.
fn bare(argument: &str) -> Option<usize> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let length = argument.bytes().take_while(|&byte| word(byte)).count();
    (length > 0).then_some(length)
}

/// The sentence behind the last words that announce an answer.
pub(super) fn after_lead(text: &str) -> Option<&str> {
    // Keeps every byte's place.
    let lower = text.to_ascii_lowercase();
    let lead = LEADS.iter().filter_map(|lead| lower.rfind(lead).map(|place| place + lead.len()));
    lead.max().map(|start| sentence(&text[start..])).filter(|answer| !answer.is_empty())
}

fn in_prose(text: &str) -> Option<&str> {
    if let Some(answer) = after_lead(text) {
        return Some(answer);
    }
    let whole = text.trim();
    let short = !whole.contains(['\n', '\\']) && whole.split_whitespace().nth(MAX_WORDS).is_none();
    if short && !whole.is_empty() {
        return Some(sentence(whole));
    }
    last_number_or_letter(text)
}

/// The first sentence without emphasis, colons and mathematics' delimiters around it.
fn sentence(text: &str) -> &str {
    let ornament = |char: char| char.is_whitespace() || "*:$\"“”".contains(char);
    let text = text.trim_start_matches(ornament);
    let line = text.split('\n').next().unwrap_or(text);
    let end = line
        .match_indices(['.', ';'])
        .map(|(place, _)| place)
        .find(|&place| {
            // An option's letter has a point of its own: "B. 12".
            place > 1 && line[place + 1..].starts_with(|next: char| next.is_whitespace())
        })
        .unwrap_or(line.len());
    let line = line[..end].trim_end_matches(ornament);
    line.strip_suffix('.').unwrap_or(line).trim_end_matches(ornament)
}

fn last_number_or_letter(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let end = (0..bytes.len()).rev().find(|&place| {
        let option = place > 1
            && bytes[place] == b')'
            && bytes[place - 1].is_ascii_uppercase()
            && bytes[place - 2] == b'(';
        option || bytes[place].is_ascii_digit()
    })?;
    if bytes[end] == b')' {
        return Some(&text[end - 1..end]);
    }
    let inside = |byte: u8| byte.is_ascii_digit() || b".,/".contains(&byte);
    let mut start = end;
    while start > 0 && inside(bytes[start - 1]) {
        start -= 1;
    }
    while !bytes[start].is_ascii_digit() && bytes[start] != b'.' {
        start += 1;
    }
    let negative = start > 0
        && bytes[start - 1] == b'-'
        && (start == 1 || !bytes[start - 2].is_ascii_alphanumeric());
    let percent = bytes.get(end + 1) == Some(&b'%');
    Some(&text[start - usize::from(negative)..end + 1 + usize::from(percent)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_balanced_box_counts() {
        let cases = [
            ("\\boxed{5}", Some("5")),
            ("\\boxed{1} and \\boxed {\\frac{1}{2}} }", Some("\\frac{1}{2}")),
            ("\\fbox{ 7 }", Some("7")),
            ("\\boxed{a \\boxed{b} c}", Some("b")),
            ("\\boxed{4} then \\boxed{5", Some("4")),
            ("\\boxed{\\{1, 2\\}}", Some("\\{1, 2\\}")),
            ("\\boxed{\\}}", Some("\\}")),
            ("$\\boxed 5$.", Some("5")),
            ("\\boxed{4} or \\boxed{}", None),
            ("<think>\\boxed{1}</think> \\boxed{2}", Some("2")),
            ("<think>\\boxed{1}</think> done", Some("1")),
        ];
        for (response, expected) in cases {
            assert_eq!(extract_answer(response), expected, "{response}");
        }
    }

    #[test]
    fn prose_has_an_answer_too() {
        let cases = [
            ("2+2 makes 4. The answer is **5**.", Some("5")),
            ("The final answer is: $\\frac{1}{2}$. Done.", Some("\\frac{1}{2}")),
            ("Answer: B. 12\nbecause", Some("B. 12")),
            ("I think\nthat the answer is 3.5.", Some("3.5")),
            ("4", Some("4")),
            (" yes. ", Some("yes")),
            ("We add 3 and 4 to get the sum, which makes 7 in total.", Some("7")),
            ("Adding them up one after another we arrive at x = -1,234.5.", Some("-1,234.5")),
            ("Of all these options only the second one fits, so (B)", Some("B")),
            ("It goes from five to about half of them, or 25% then.", Some("25%")),
            ("one two three four five six seven", None),
            ("", None),
        ];
        for (response, expected) in cases {
            assert_eq!(extract_answer(response), expected, "{response}");
        }
    }

    #[test]
    fn many_open_boxes_take_linear_time() {
        let start = std::time::Instant::now();
        assert!(extract_answer(&"\\boxed{".repeat(300_000)).is_none());
        assert!(extract_answer(&"answer is ".repeat(300_000)).is_none());
        assert!(start.elapsed().as_secs() < 5);
    }
}
