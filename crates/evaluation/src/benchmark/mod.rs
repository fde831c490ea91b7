//! Benchmarks by name: the columns they are published with, their rules and their own aggregates.

mod dyna_math;
mod table;
mod we_math;

pub use table::{BENCHMARKS, GENERAL};

use crate::options::letter;
use crate::question::{Question, Rule};
use crate::report::share;

/// A benchmark.
#[derive(Debug)]
pub struct Benchmark {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Other names, without case and punctuation.
    pub aliases: &'static [&'static str],
    /// Where to find its parts, in the hub's files and in VLMEvalKit's.
    pub columns: Columns,
    /// The question, where it stands in the picture alone.
    pub question: Option<&'static str>,
    /// Whether the options are listed after the question, which does not hold them itself.
    pub lists_options: bool,
    /// Columns of VLMEvalKit's files, and where the hub's have the same under another name.
    pub vlmevalkit: &'static [(&'static str, &'static str)],
    /// Whether every question shows a picture.
    pub shows_pictures: bool,
    /// Truth and rule of a row.
    pub rule: fn(&Fields) -> Result<(String, Rule), String>,
    /// Its own numbers for one run, of which `true` were answered right, always by the same names.
    pub aggregate: fn(&[Question], &[bool]) -> Numbers,
}

/// Numbers by name.
pub type Numbers = Vec<(String, f64)>;

/// Columns by what they hold, in order of precedence; a dot leads into a struct.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Columns {
    pub id: &'static [&'static str],
    pub question: &'static [&'static str],
    pub hint: &'static [&'static str],
    pub images: &'static [&'static str],
    pub answer: &'static [&'static str],
    /// A list of options; in VLMEvalKit's files they are the columns A, B, …
    pub options: &'static [&'static str],
    pub question_type: &'static [&'static str],
    pub answer_type: &'static [&'static str],
    pub precision: &'static [&'static str],
    pub family: &'static [&'static str],
    pub part: &'static [&'static str],
    /// Dimensions to group by, and their columns.
    pub groups: &'static [(&'static str, &'static [&'static str])],
}

/// A row's text by what it holds; empty where the row has none.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Fields {
    pub id: String,
    pub answer: String,
    pub options: Vec<String>,
    pub question_type: String,
    pub answer_type: String,
    pub precision: String,
    pub family: Option<String>,
    pub part: Option<String>,
    pub groups: Vec<(String, String)>,
}

impl Benchmark {
    /// The question of a row.
    ///
    /// # Errors
    ///
    /// When the answer cannot be the right one: it is empty, or none of the options.
    pub fn question(&self, fields: Fields) -> Result<Question, String> {
        if fields.answer.trim().is_empty() {
            return Err("the answer is empty; fill it or remove the row".into());
        }
        let (truth, rule) = (self.rule)(&fields)?;
        let Fields { id, mut family, part, groups, .. } = fields;
        // We-Math numbers the problems of each kind anew.
        if let (Some(family), Some((kind, _))) =
            (&mut family, part.as_deref().and_then(|part| part.split_once('_')))
        {
            *family = format!("{kind}_{family}");
        }
        Ok(Question { id, truth, rule, family, part, groups })
    }
}

/// No benchmark has this name.
#[derive(Debug, thiserror::Error)]
#[error("no benchmark is called {name:?}; did you mean {nearest}? There are {all}")]
#[allow(missing_docs)]
pub struct UnknownBenchmark {
    pub name: String,
    pub nearest: &'static str,
    pub all: String,
}

/// The benchmark of this name; case, hyphens and the like do not matter.
///
/// # Errors
///
/// Names the nearest one, and all.
pub fn find(name: &str) -> Result<&'static Benchmark, UnknownBenchmark> {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let called = |benchmark: &&&Benchmark| {
        benchmark.name.replace('-', "") == plain || benchmark.aliases.contains(&plain.as_str())
    };
    let similarity = |benchmark: &Benchmark| strsim::jaro_winkler(benchmark.name, &plain);
    BENCHMARKS.iter().find(called).copied().ok_or_else(|| {
        let nearest = BENCHMARKS.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
        let names: Vec<&str> = BENCHMARKS.iter().map(|benchmark| benchmark.name).collect();
        UnknownBenchmark {
            name: name.chars().take(40).collect(),
            nearest: nearest.map_or("", |benchmark| benchmark.name),
            all: names.join(", "),
        }
    })
}

/// A choice among the row's options; the answer is a letter or an option's text.
fn choice(fields: &Fields) -> Result<(String, Rule), String> {
    let options = &fields.options;
    if options.is_empty() {
        return Err("a multiple choice without options; fill them or remove the row".into());
    }
    if options.len() > 26 {
        return Err(format!("{} options; there are letters for 26", options.len()));
    }
    let answer = fields.answer.trim();
    let of_text = options.iter().position(|option| option.trim() == answer);
    let of_letter = (0..options.len()).find(|&index| answer == letter(index).to_string());
    match of_letter.or(of_text) {
        Some(index) => Ok((letter(index).into(), Rule::Choice(options.clone()))),
        None => Err(format!(
            "the answer {answer:?} is none of the {} options; mend one of them or remove the row",
            options.len()
        )),
    }
}

/// A choice by letter among options whose texts are not known.
fn letter_choice(fields: &Fields, letters: usize) -> Result<(String, Rule), String> {
    choice(&Fields { options: vec![String::new(); letters], ..fields.clone() })
}

/// An answer of any form, compared by the grader.
fn free(fields: &Fields) -> Result<(String, Rule), String> {
    Ok((fields.answer.trim().into(), Rule::Free))
}

/// A choice where there are options, else an answer of any form.
fn choice_or_free(fields: &Fields) -> Result<(String, Rule), String> {
    if fields.options.is_empty() { free(fields) } else { choice(fields) }
}

/// The share of right answers.
fn overall(_: &[Question], right: &[bool]) -> Numbers {
    vec![("Overall".into(), share(right))]
}

/// The share of right answers over all and for each name of one dimension.
fn overall_and(dimension: &str, questions: &[Question], right: &[bool]) -> Numbers {
    let mut measures = overall(questions, right);
    let of = |question: &Question| {
        question
            .groups
            .iter()
            .filter(|(other, _)| other == dimension)
            .map(|(_, name)| name.clone())
            .collect::<Vec<_>>()
    };
    let mut names: Vec<String> = questions.iter().flat_map(of).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let members =
            questions.iter().zip(right).filter(|(question, _)| of(question).contains(&name));
        let members: Vec<bool> = members.map(|(_, right)| *right).collect();
        measures.push((name, share(&members)));
    }
    measures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(answer: &str, options: &[&str]) -> Fields {
        Fields {
            answer: answer.into(),
            options: options.iter().map(|option| option.to_string()).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn benchmarks_are_found_by_any_of_their_names() {
        let cases = [
            ("mathvista", "mathvista"),
            ("MathVista_MINI", "mathvista"),
            ("We-Math", "wemath"),
            ("MMMU_Pro_V", "mmmu-pro"),
            ("mmmu-pro", "mmmu-pro"),
            ("gym", "gym"),
        ];
        for (name, expected) in cases {
            assert_eq!(find(name).unwrap().name, expected, "{name}");
        }
        let error = find("mathvsita").unwrap_err().to_string();
        assert!(error.contains("did you mean mathvista?") && error.contains("dynamath"), "{error}");
        assert!(find("").is_err());
    }

    #[test]
    fn names_and_aliases_are_of_one_benchmark_each() {
        let mut names: Vec<&str> = BENCHMARKS
            .iter()
            .flat_map(|benchmark| benchmark.aliases.iter().copied().chain([benchmark.name]))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_right_option_is_named_by_letter_or_text() {
        let cases = [
            ("B", &["3", "4"][..], Ok("B")),
            ("4", &["3", "4"][..], Ok("B")),
            ("C", &["3", "4"][..], Err("none of the 2 options")),
            ("5", &["3", "4"][..], Err("none of the 2 options")),
            ("A", &[][..], Err("without options")),
        ];
        for (answer, options, expected) in cases {
            match (choice(&fields(answer, options)), expected) {
                (Ok((truth, _)), Ok(expected)) => assert_eq!(truth, expected, "{answer}"),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (found, _) => panic!("{answer}: {found:?}"),
            }
        }
        assert!(GENERAL.question(fields(" ", &[])).unwrap_err().contains("empty"));
    }

    #[test]
    fn problems_of_another_kind_are_another_family() {
        let family = |part: Option<&str>| {
            let (family, part) = (Some("7".into()), part.map(String::from));
            let fields = Fields { family, part, ..fields("A", &["1", "2"]) };
            find("wemath").unwrap().question(fields).unwrap().family
        };
        for (part, expected) in [
            (Some("2steps_1"), "2steps_7"),
            (Some("2steps_multi"), "2steps_7"),
            (Some("3steps_1"), "3steps_7"),
            (None, "7"),
        ] {
            assert_eq!(family(part).as_deref(), Some(expected), "{part:?}");
        }
    }

    #[test]
    fn versions_stand_beside_the_whole() {
        let question = |version: &str| Question {
            id: "1".into(),
            truth: "1".into(),
            rule: Rule::Free,
            family: None,
            part: None,
            groups: vec![("problem_version".into(), version.into())],
        };
        let questions = ["Vision Only", "Text Lite", "Vision Only", "Vision Only"].map(question);
        let found = (find("mathverse").unwrap().aggregate)(&questions, &[true, false, true, false]);
        let expected = [("Overall", 0.5), ("Text Lite", 0.0), ("Vision Only", 2.0 / 3.0)];
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(found, expected);
    }
}
