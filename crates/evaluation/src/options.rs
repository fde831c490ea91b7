//! Which option an answer means.

use cppo::reward::Grader;

/// Read as spaces; VLMEvalKit's, and what LaTeX puts around a letter.
const IGNORED: &str = ".()[],:;!*#{}$\"'";

/// A letter counts among so many words at the end, as in VLMEvalKit.
const LAST_WORDS: usize = 5;

/// How a model says that it cannot answer (VLMEvalKit's list).
const REJECTIONS: [&str; 4] = [
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
];

/// The letter of option number `index`, from 0.
pub fn letter(index: usize) -> char {
    char::from(b'A' + index.min(25) as u8)
}

/// The option that a text names: by its letter, if one letter alone stands among the last five
/// words, else by the text of one option alone (VLMEvalKit's `can_infer`).
///
/// An option that the exact grader holds equal to the whole text goes before those contained in it.
pub fn infer_option(text: &str, options: &[String]) -> Option<char> {
    if REJECTIONS.iter().any(|rejection| text.contains(rejection)) {
        return None;
    }
    by_letter(text, options.len()).or_else(|| by_text(text, options))
}

fn by_letter(text: &str, count: usize) -> Option<char> {
    let spaced = text.replace(|char| IGNORED.contains(char), " ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    if let [word] = words[..] {
        let word = word.to_ascii_uppercase();
        return (0..count).map(letter).find(|letter| word == letter.to_string());
    }
    let place = |letter: char| {
        let mut buffer = [0; 4];
        let letter: &str = letter.encode_utf8(&mut buffer);
        words.iter().position(|word| *word == letter)
    };
    let mut found = (0..count).map(letter).filter_map(|letter| Some((letter, place(letter)?)));
    match (found.next(), found.next()) {
        (Some((letter, place)), None) if place + LAST_WORDS > words.len() => Some(letter),
        _ => None,
    }
}

fn by_text(text: &str, options: &[String]) -> Option<char> {
    let known = || options.iter().enumerate().filter(|(_, option)| !option.trim().is_empty());
    let same = |(_, option): &(usize, &String)| Grader::Exact.grade(text, option).correct;
    if let Some(index) = only(known().filter(same)) {
        return Some(letter(index));
    }
    let lower = text.to_lowercase();
    if lower.len() > 2 * options.iter().map(String::len).sum::<usize>() {
        return None;
    }
    only(known().filter(|(_, option)| lower.contains(&option.to_lowercase()))).map(letter)
}

fn only<'a>(mut found: impl Iterator<Item = (usize, &'a String)>) -> Option<usize> {
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Some(index),
        _ => None,
    }
}

/// The letters that an answer of several options names, in order: `A, C` of "A and C" or "CA".
pub(crate) fn letters(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let single = |word: &&str| word.len() == 1 && word.chars().all(|c| c.is_ascii_alphabetic());
    let mut found: Vec<char> = match words[..] {
        [word] if word.len() <= 8 && word.chars().all(|char| char.is_ascii_uppercase()) => {
            word.chars().collect()
        }
        _ => {
            let capital = words.iter().any(|word| single(word) && *word == word.to_uppercase());
            let words = words.iter().filter(|word| single(word));
            words
                .filter(|word| !capital || **word == word.to_uppercase())
                .flat_map(|word| word.chars())
                .collect()
        }
    };
    found.iter_mut().for_each(|char| char.make_ascii_uppercase());
    found.sort_unstable();
    found.dedup();
    found.iter().map(char::to_string).collect::<Vec<_>>().join(", ")
}

/// The texts of a list written as Python or JSON writes it, `['a', "b", 3]`; None for no list.
pub fn read_list(text: &str) -> Option<Vec<String>> {
    let inside = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut items = Vec::new();
    let mut rest = inside.trim_start();
    while !rest.is_empty() {
        let (item, after) = match rest.chars().next()? {
            quote @ ('\'' | '"') => quoted(&rest[1..], quote)?,
            _ => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim().to_string(), &rest[end..])
            }
        };
        items.push(item);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(items)
}

/// The texts of options in one line, as We-Math writes them: `A. 3; B. 4`; None for other text.
pub fn read_lettered(text: &str) -> Option<Vec<String>> {
    let mut options: Vec<String> = Vec::new();
    for piece in text.split(';') {
        let named = piece.trim_start().strip_prefix(letter(options.len()));
        match named.and_then(|rest| rest.strip_prefix(['.', ')', ':'])) {
            Some(option) => options.push(option.trim().into()),
            // A semicolon within an option.
            None if piece.trim().is_empty() => {}
            None => *options.last_mut()? += &format!(";{piece}"),
        }
    }
    (!options.is_empty()).then_some(options)
}

/// The text up to the closing quote, and what follows.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut item = String::new();
    let mut chars = text.char_indices();
    while let Some((place, char)) = chars.next() {
        match char {
            '\\' => match chars.next()?.1 {
                'n' => item.push('\n'),
                't' => item.push('\t'),
                escaped @ ('\\' | '\'' | '"') => item.push(escaped),
                // LaTeX in a list that was not escaped.
                other => item.extend(['\\', other]),
            },
            char if char == quote => return Some((item, &text[place + 1..])),
            char => item.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(options: &[&str]) -> Vec<String> {
        options.iter().map(|option| option.to_string()).collect()
    }

    #[test]
    fn an_option_is_named_by_letter_or_by_text() {
        let options = texts(&["2", "12", "a red ball", "No"]);
        let cases = [
            ("B", Some('B')),
            ("b", Some('B')),
            ("(B)", Some('B')),
            (r"\text{B}", Some('B')),
            ("**B.**", Some('B')),
            ("$B$", Some('B')),
            ("The answer is B: 12", Some('B')),
            ("B or C", None),
            ("B is what I would choose here at last", None),
            ("12", Some('B')),
            (r"\frac{24}{2}", Some('B')),
            ("a red ball", Some('C')),
            ("it is a red ball!", Some('C')),
            ("no", Some('D')),
            ("Cannot determine the answer B", None),
            ("E", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(infer_option(text, &options), expected, "{text}");
        }
        assert_eq!(infer_option("12", &texts(&["", "", ""])), None, "texts are not known");
        assert_eq!(infer_option("C", &texts(&["", "", ""])), Some('C'));
        assert_eq!(infer_option("A", &[]), None);
    }

    #[test]
    fn several_letters_are_a_sorted_set() {
        let cases = [
            ("A, C", "A, C"),
            ("C and A", "A, C"),
            ("CA", "A, C"),
            ("b", "B"),
            ("(B) the gear turns left", "B"),
            ("a and c", "A, C"),
            ("B. as a whole", "B"),
            ("", ""),
            ("gear", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(letters(text), expected, "{text}");
        }
    }

    #[test]
    fn lists_of_python_and_json_are_read() {
        let cases = [
            ("[]", Some(vec![])),
            ("['a', 'b']", Some(vec!["a", "b"])),
            (r#"["it's", 'x, y']"#, Some(vec!["it's", "x, y"])),
            (r"['it\'s', '\frac{1}{2}']", Some(vec!["it's", r"\frac{1}{2}"])),
            ("[1, 2.5]", Some(vec!["1", "2.5"])),
            ("['a',]", Some(vec!["a"])),
            ("a", None),
            ("['a", None),
            ("['a'] b", None),
            ("['a' 'b']", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read_list(text), expected.as_deref().map(texts), "{text}");
        }
    }

    #[test]
    fn options_in_one_line_are_told_apart() {
        let cases = [
            (
                "A. 3; B. 4 ; C) x = 1; y = 2; D: none;",
                Some(vec!["3", "4", "x = 1; y = 2", "none"]),
            ),
            ("A. 3", Some(vec!["3"])),
            ("3; 4", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read_lettered(text), expected.as_deref().map(texts), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(
            text in ".{0,60}", options in prop::collection::vec(".{0,6}", 0..6)
        ) {
            if let Some(found) = infer_option(&text, &options) {
                prop_assert!((found as usize - 'A' as usize) < options.len());
            }
            letters(&text);
            read_list(&text);
            read_lettered(&text);
            read_list(&format!("[{text}]"));
        }
    }
}
