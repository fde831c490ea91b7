//! Which option an answer means.

use cppo::reward::Grader;

/// Read as spaces; VLMEvalKit's, and what LaTeX puts around a letter.
const IGNORED: &str = ".()[],:;!*#{}$\"'\\`";

/// What may stand right behind a letter that is no word.
const MARKS: &str = ".)]}:*$\\`";

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
/// Of several words, an option that the exact grader holds equal to all of them goes before a
/// letter, and a letter before an option contained in them.
pub fn infer_option(text: &str, options: &[String]) -> Option<char> {
    if REJECTIONS.iter().any(|rejection| text.contains(rejection)) {
        return None;
    }
    let spaced = text.replace(|char| IGNORED.contains(char), " ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let equal = || equal(text, options);
    let named = match words[..] {
        [word] => by_word(word, options.len()).or_else(equal),
        _ => equal().or_else(|| by_letter(text, &words, options.len())),
    };
    named.or_else(|| contained(text, options))
}

/// The letter that is the only word.
fn by_word(word: &str, count: usize) -> Option<char> {
    let word = word.to_ascii_uppercase();
    (0..count).map(letter).find(|letter| word == letter.to_string())
}

/// The only letter among `words`, which are those of `text`.
fn by_letter(text: &str, words: &[&str], count: usize) -> Option<char> {
    let place = |letter: char| {
        let mut buffer = [0; 4];
        let name: &str = letter.encode_utf8(&mut buffer);
        let is_word = "AI".contains(letter) && !is_marked(text, name);
        let counts = |place: usize| {
            let option = place.checked_sub(1).map(|place| words[place]);
            !is_word
                || place + 1 == words.len()
                || option.is_some_and(|word| word.eq_ignore_ascii_case("option"))
        };
        (0..words.len()).find(|&place| words[place] == name && counts(place))
    };
    let mut found = (0..count).map(letter).filter_map(|letter| Some((letter, place(letter)?)));
    match (found.next(), found.next()) {
        (Some((letter, place)), None) if place + LAST_WORDS > words.len() => Some(letter),
        _ => None,
    }
}

/// Whether a capital that may be a word, the article or the pronoun, is a letter here: `A.`, `(A)`.
fn is_marked(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + name.len()..]);
        !before.ends_with(char::is_alphanumeric) && after.starts_with(|char| MARKS.contains(char))
    })
}

/// The options whose texts are known.
fn known(options: &[String]) -> impl Iterator<Item = (usize, &String)> {
    options.iter().enumerate().filter(|(_, option)| !option.trim().is_empty())
}

/// The only option that means the same as the text.
fn equal(text: &str, options: &[String]) -> Option<char> {
    only(known(options).filter(|(_, option)| Grader::Exact.grade(text, option).correct)).map(letter)
}

/// The only option whose text stands in a text that is not much longer.
fn contained(text: &str, options: &[String]) -> Option<char> {
    let lower = text.to_lowercase();
    if lower.len() > 2 * options.iter().map(String::len).sum::<usize>() {
        return None;
    }
    let stands = |(_, option): &(usize, &String)| holds(&lower, &option.trim().to_lowercase());
    only(known(options).filter(stands)).map(letter)
}

/// Whether `part` stands in `text` as whole words and numbers.
fn holds(text: &str, part: &str) -> bool {
    text.match_indices(part).any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + part.len()..]);
        let negative =
            part.starts_with(|char: char| char.is_ascii_digit()) && before.ends_with(['-', '−']);
        !negative
            && !goes_on(part.chars().next(), before.chars().rev())
            && !goes_on(part.chars().next_back(), after.chars())
    })
}

/// Whether a word or number with `edge` at its end goes on with `rest`.
fn goes_on(edge: Option<char>, mut rest: impl Iterator<Item = char>) -> bool {
    let (Some(edge), Some(next)) = (edge, rest.next()) else { return false };
    let number = edge.is_ascii_digit() && ".,/".contains(next);
    edge.is_alphanumeric()
        && (next.is_alphanumeric()
            || number && rest.next().is_some_and(|char| char.is_ascii_digit()))
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
            // "a" is an article but among letters.
            let joins = |word: &&str| ["and", "or"].contains(&word.to_lowercase().as_str());
            let is_small = words.iter().all(|word| single(word) || joins(word));
            let capital = words.iter().any(|word| single(word) && *word == word.to_uppercase());
            let words = words.iter().filter(|word| single(word));
            words
                .filter(|word| !capital && is_small || **word == word.to_uppercase())
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
            ("A red ball", Some('C')),
            ("It is A big one", None),
            ("Option A is right", Some('A')),
            ("(A) is right", Some('A')),
            ("A: 2", Some('A')),
            ("I choose A", Some('A')),
            (r"\(B\)", Some('B')),
            (r"\(B\) is right", Some('B')),
            ("`B`", Some('B')),
            ("the 212 of it", None),
            ("it is 1.2", None),
            ("it is -2", None),
            ("it is 12.", Some('B')),
            ("not known", None),
        ];
        for (text, expected) in cases {
            assert_eq!(infer_option(text, &options), expected, "{text}");
        }
        assert_eq!(infer_option("12", &texts(&["", "", ""])), None, "texts are not known");
        assert_eq!(infer_option("C", &texts(&["", "", ""])), Some('C'));
        assert_eq!(infer_option("A", &[]), None);
        let points = texts(&["A", "B", "C", "D", "E"]);
        assert_eq!(infer_option(r"60^\circ", &points), None, "within a word");
        assert_eq!(infer_option("12", &texts(&["2", "3", "5", "7"])), None, "within a number");
        assert_eq!(infer_option("I cannot say", &vec![String::new(); 10]), None, "a pronoun");
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
            ("a triangle", ""),
            ("a, c or d", "A, C, D"),
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
