//! From a row to a question.

use evaluation::benchmark::{Benchmark, Fields};
use evaluation::{letter, read_lettered};
use processor::{Answer, Message};

use super::Item;
use super::columns::{BenchmarkColumns, lettered, text_of, texts_of};
use crate::data::{Cell, Fault, PLACEHOLDER, Picture, Sample, messages};

/// Reads a row that shows `images`.
pub(super) fn item(
    benchmark: &Benchmark,
    columns: &BenchmarkColumns,
    row: &Cell,
    mut images: Vec<Picture>,
) -> Result<Item, Fault> {
    let names = &benchmark.columns;
    let options = match lettered(row)? {
        options if options.is_empty() => match texts_of(row, names.options)?.as_slice() {
            [line] => read_lettered(line).unwrap_or_else(|| vec![line.clone()]),
            options => options.to_vec(),
        },
        options => options,
    };
    let text = |names| text_of(row, names).map(Option::unwrap_or_default);
    let mut groups = Vec::new();
    for (dimension, names) in names.groups {
        let named = texts_of(row, names)?.into_iter().map(|name| (dimension.to_string(), name));
        groups.extend(named);
    }
    let answer = columns.answer(row)?;
    let fields = Fields {
        id: text(names.id)?,
        answer: Answer::parse(&answer).answer.unwrap_or(answer),
        options,
        question_type: text(names.question_type)?,
        answer_type: text(names.answer_type)?,
        precision: text(names.precision)?,
        family: text_of(row, names.family)?,
        part: text_of(row, names.part)?,
        groups,
    };
    let asked = asked(&columns.question(row)?, &text(names.hint)?, benchmark, &fields.options);
    let prompt = prompt(&asked, &mut images).map_err(|message| Fault::new("question", message))?;
    let question = benchmark.question(fields).map_err(|message| Fault::new("answer", message))?;
    let sample = Sample {
        prompt,
        images,
        answer: question.truth.clone(),
        response: None,
        seen: Vec::new(),
        source: benchmark.name.into(),
    };
    Ok(Item { question, sample })
}

/// Hint, question and options as one text.
fn asked(question: &str, hint: &str, benchmark: &Benchmark, options: &[String]) -> String {
    let mut text = match hint.is_empty() {
        true => question.to_string(),
        false => format!("{hint}\n{question}"),
    };
    if benchmark.lists_options && !options.is_empty() {
        text += "\nOptions:";
        for (index, option) in options.iter().enumerate() {
            text += &format!("\n{}. {option}", letter(index));
        }
    }
    text
}

/// A user's turn with the pictures where the text names them, `<image>` or `<image1>`; in front
/// where it names another number of them. The pictures then stand in the order of the text.
fn prompt<T: Clone>(text: &str, images: &mut Vec<T>) -> Result<Vec<Message>, String> {
    let (mut plain, numbers) = unnumbered(text);
    let mut order = numbers.clone();
    order.sort_unstable();
    order.dedup();
    let count = plain.matches(PLACEHOLDER).count();
    let is_order = [0, images.len()].contains(&numbers.len()) && order.len() == numbers.len();
    if count != images.len() || !is_order {
        plain = plain.replace(PLACEHOLDER, "");
    } else if !numbers.is_empty() {
        let place = |number| order.partition_point(|other| other < number);
        *images = numbers.iter().map(|number| images[place(number)].clone()).collect();
    }
    messages(&Cell::Text(plain), images.len())
}

/// The text with placeholders that have no numbers, and the numbers they had.
fn unnumbered(text: &str) -> (String, Vec<usize>) {
    let (mut plain, mut numbers) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<image") {
        plain += before;
        let digits = after.strip_prefix(' ').unwrap_or(after);
        let end = digits.bytes().take_while(u8::is_ascii_digit).count();
        let number = digits[..end].parse().ok().filter(|number| *number > 0);
        rest = match (number, digits[end..].strip_prefix('>')) {
            (Some(number), Some(after)) => {
                plain += PLACEHOLDER;
                numbers.push(number);
                after
            }
            _ => {
                plain += "<image";
                after
            }
        };
    }
    (plain + rest, numbers)
}

#[cfg(test)]
mod tests {
    use evaluation::Rule;
    use evaluation::benchmark::find;
    use processor::Content;

    use super::*;
    use crate::data::Mapping;

    fn read(benchmark: &str, json: &str) -> Result<Item, String> {
        let benchmark = find(benchmark).unwrap();
        let columns = BenchmarkColumns::new(benchmark, &Mapping::default());
        let row = serde_json::from_str(json).unwrap();
        item(benchmark, &columns, &row, Vec::new()).map_err(|fault| format!("{fault:?}"))
    }

    #[test]
    fn options_stand_in_columns_lists_or_one_line() {
        let options = |item: Item| match item.question.rule {
            Rule::Choice(options) => options,
            other => panic!("{other:?}"),
        };
        let cases = [
            ("wemath", r#"{"question": "q", "answer": "B", "option": "A. 3; B. 4"}"#),
            ("wemath", r#"{"question": "q", "answer": "B", "A": "3", "B": 4, "C": null}"#),
            ("mathvision", r#"{"question": "q", "answer": "B", "options": ["3", "4"]}"#),
            ("mathvision", r#"{"question": "q", "answer": "B", "choices": "['3', '4']"}"#),
            ("mmmu-pro", r#"{"answer": "B", "options": "['3', '4']"}"#),
            (
                "mathvista",
                r#"{"query": "q", "question_type": "multi_choice", "answer": "4",
                    "choices": ["3", "4"]}"#,
            ),
        ];
        for (benchmark, json) in cases {
            let item = read(benchmark, json).unwrap();
            assert_eq!(item.question.truth, "B", "{json}");
            let listed = item.text().ends_with("\nOptions:\nA. 3\nB. 4");
            assert_eq!(listed, ["wemath", "mathvision"].contains(&benchmark), "{}", item.text());
            assert_eq!(options(item), ["3", "4"], "{json}");
        }
    }

    #[test]
    fn hints_and_groups_are_taken_along() {
        let json = r#"{"index": 7, "question": "q", "hint": "h", "answer": "A", "A": "1", "B": "2",
            "ID": 3, "key": "2steps_1", "knowledge concept": "['area', 'length']"}"#;
        let item = read("wemath", json).unwrap();
        assert!(item.text().starts_with("h\nq\n"), "{}", item.text());
        let question = item.question;
        assert_eq!((question.id.as_str(), question.family.as_deref()), ("7", Some("2steps_3")));
        let groups: Vec<_> = question.groups.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(groups, ["2steps_1", "area", "length"]);
    }

    #[test]
    fn rows_that_lack_something_say_what() {
        let cases = [
            ("wemath", r#"{"question": "q", "answer": "A", "option": ""}"#, "without options"),
            (
                "wemath",
                r#"{"question": "q", "answer": "D", "option": "A. 3; B. 4"}"#,
                "none of the 2",
            ),
            ("mathvision", r#"{"question": ["q"], "answer": "A"}"#, "a list, not a string"),
            ("mathvision", r#"{"question": "q", "answer": null}"#, "missing or empty"),
            ("mathvision", r#"{"question": " ", "answer": "1"}"#, "missing or empty"),
            (
                "mathvision",
                r#"{"question": "q", "answer": "A", "options": [[]]}"#,
                "a list in a list",
            ),
        ];
        for (benchmark, json, expected) in cases {
            let error = read(benchmark, json).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }

    #[test]
    fn pictures_stand_where_the_text_names_them() {
        let text = |text: &str| Content::Text { text: text.into() };
        let cases = [
            ("<image1>q", vec![1], vec![Content::Image, text("q")]),
            ("<image1>q", vec![1, 2], vec![Content::Image, Content::Image, text("q")]),
            ("<image1>q", vec![], vec![text("q")]),
            ("<image 3>q", vec![1], vec![Content::Image, text("q")]),
            ("<image 0> <imageq", vec![], vec![text("<image 0> <imageq")]),
            ("<image1><image1>q", vec![1, 2], vec![Content::Image, Content::Image, text("q")]),
        ];
        for (asked, shown, expected) in cases {
            let mut images = shown.clone();
            assert_eq!(prompt(asked, &mut images).unwrap()[0].content, expected, "{asked}");
            assert_eq!(images, shown, "{asked}");
        }
        let between = [text("a"), Content::Image, text("b"), Content::Image];
        for (asked, expected) in [
            ("a<image 1>b<image2>", [1, 2]),
            ("a<image 2>b<image 1>", [2, 1]),
            ("a<image>b<image>", [1, 2]),
        ] {
            let mut images = vec![1, 2];
            assert_eq!(prompt(asked, &mut images).unwrap()[0].content, between, "{asked}");
            assert_eq!(images, expected, "{asked}");
        }
    }
}
