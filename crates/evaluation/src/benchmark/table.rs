//! The benchmarks, as far as they differ in names and rules only.

use super::{
    Benchmark, Columns, Fields, choice, choice_or_free, dyna_math, free, letter_choice, overall,
    overall_and, we_math,
};
use crate::options::letters;
use crate::question::Rule;

/// Columns of VLMEvalKit's files, which any benchmark may come in.
const USUAL: Columns = Columns {
    id: &["index", "id"],
    question: &["question"],
    hint: &["hint"],
    images: &["image", "image_path"],
    answer: &["answer"],
    options: &[],
    question_type: &[],
    answer_type: &[],
    precision: &[],
    family: &[],
    part: &[],
    groups: &[("category", &["category"])],
};

/// A benchmark as VLMEvalKit's files are in general.
const USUALLY: Benchmark = Benchmark {
    name: "general",
    aliases: &[],
    columns: USUAL,
    question: None,
    lists_options: true,
    vlmevalkit: &[],
    shows_pictures: true,
    rule: choice_or_free,
    aggregate: overall,
};

/// Any data set: answers of any form, or options where the row has some.
pub static GENERAL: Benchmark = Benchmark { shows_pictures: false, ..USUALLY };

/// All benchmarks that have a name.
pub static BENCHMARKS: [&Benchmark; 9] = [
    &MATH_VISTA,
    &MATH_VERSE,
    &MATH_VISION,
    &WE_MATH,
    &LOGIC_VISTA,
    &DYNA_MATH,
    &MMMU_PRO,
    &GEOMETRY_3K,
    &GYM,
];

/// testmini; `query` is the question with its hint and its options.
static MATH_VISTA: Benchmark = Benchmark {
    name: "mathvista",
    aliases: &["mathvistamini", "mathvistatestmini"],
    columns: Columns {
        id: &["pid", "index"],
        question: &["query", "question"],
        hint: &[],
        images: &["decoded_image", "image"],
        answer: &["answer_option", "answer"],
        options: &["choices"],
        question_type: &["question_type"],
        answer_type: &["answer_type"],
        precision: &["precision"],
        groups: &[("task", &["metadata.task", "task"]), ("skill", &["metadata.skills", "skills"])],
        ..USUAL
    },
    lists_options: false,
    vlmevalkit: &[
        ("task", "metadata.task"),
        ("skills", "metadata.skills"),
        ("category", "metadata.category"),
        ("context", "metadata.context"),
        ("grade", "metadata.grade"),
        ("language", "metadata.language"),
        ("source", "metadata.source"),
        ("split", "metadata.split"),
    ],
    rule: math_vista,
    ..USUALLY
};

fn math_vista(fields: &Fields) -> Result<(String, Rule), String> {
    if fields.question_type == "multi_choice" {
        return choice(fields);
    }
    let rule = match fields.answer_type.as_str() {
        // The number of decimals is written as a float: 2.0.
        "float" => match fields.precision.parse::<f64>() {
            Ok(decimals @ 0.0..=9.0) => Rule::Rounded(decimals as usize),
            _ => Rule::Free,
        },
        _ => Rule::Free,
    };
    Ok((fields.answer.trim().into(), rule))
}

/// Its five or six versions of a problem; the options stand in the question or the picture.
static MATH_VERSE: Benchmark = Benchmark {
    name: "mathverse",
    aliases: &["mathversemini", "mathversetestmini"],
    columns: Columns {
        id: &["sample_index", "index"],
        question: &["query_cot", "question"],
        hint: &[],
        images: &["image"],
        question_type: &["question_type"],
        family: &["problem_index"],
        groups: &[
            ("problem_version", &["problem_version"]),
            ("subject", &["metadata.subject", "subject"]),
        ],
        ..USUAL
    },
    question: Some("Answer the question in the image."),
    lists_options: false,
    rule: math_verse,
    aggregate: |questions, right| overall_and("problem_version", questions, right),
    ..USUALLY
};

fn math_verse(fields: &Fields) -> Result<(String, Rule), String> {
    match fields.question_type.as_str() {
        "multi-choice" => letter_choice(fields, 8),
        _ => free(fields),
    }
}

/// test and testmini.
static MATH_VISION: Benchmark = Benchmark {
    name: "mathvision",
    aliases: &["mathvisionmini", "mathvisiontestmini"],
    columns: Columns {
        id: &["id", "index"],
        images: &["decoded_image", "image"],
        options: &["options", "choices"],
        groups: &[("subject", &["subject", "category"]), ("level", &["level"])],
        ..USUAL
    },
    vlmevalkit: &[("choices", "options"), ("category", "subject")],
    ..USUALLY
};

/// testmini: problems of two and three steps, and each step by itself.
static WE_MATH: Benchmark = Benchmark {
    name: "wemath",
    aliases: &["wemathtestmini"],
    columns: Columns {
        id: &["index", "ID"],
        images: &["image", "image_path"],
        options: &["option"],
        family: &["ID"],
        part: &["key"],
        groups: &[("steps", &["key"]), ("knowledge concept", &["knowledge concept"])],
        ..USUAL
    },
    rule: choice,
    aggregate: we_math::aggregate,
    ..USUALLY
};

/// One or more letters are right.
static LOGIC_VISTA: Benchmark = Benchmark {
    name: "logicvista",
    aliases: &[],
    columns: Columns {
        id: &["index", "question_id"],
        groups: &[("skill", &["skill"]), ("capability", &["broad_capability"])],
        ..USUAL
    },
    lists_options: false,
    rule: logic_vista,
    ..USUALLY
};

fn logic_vista(fields: &Fields) -> Result<(String, Rule), String> {
    let letters = letters(&fields.answer);
    match letters.is_empty() {
        true => Err(format!("the answer {:?} names no letter", fields.answer)),
        false => Ok((letters, Rule::Letters)),
    }
}

/// Ten variants of each of 501 questions.
static DYNA_MATH: Benchmark = Benchmark {
    name: "dynamath",
    aliases: &["dynamathsample", "dynamathnoprompt"],
    columns: Columns {
        id: &["index", "id"],
        images: &["decoded_image", "image"],
        answer: &["ground_truth", "answer"],
        answer_type: &["answer_type"],
        family: &["qid", "id"],
        groups: &[("subject", &["subject"]), ("level", &["knowledge_level"])],
        ..USUAL
    },
    lists_options: false,
    rule: dyna_math::rule,
    aggregate: dyna_math::aggregate,
    ..USUALLY
};

/// Its vision setting: question and options are in the picture.
static MMMU_PRO: Benchmark = Benchmark {
    name: "mmmu-pro",
    aliases: &["mmmuprov", "mmmuprovision"],
    columns: Columns {
        id: &["index", "id"],
        question: &[],
        options: &["options"],
        groups: &[("subject", &["subject", "category"])],
        ..USUAL
    },
    question: Some("Answer the multiple-choice question in the image with the option letter."),
    lists_options: false,
    vlmevalkit: &[("category", "subject")],
    rule: choice,
    ..USUALLY
};

/// The hub's `hiyouga/geometry3k`.
static GEOMETRY_3K: Benchmark = Benchmark {
    name: "geometry3k",
    aliases: &["geo3k"],
    columns: Columns { question: &["problem", "question"], images: &["images", "image"], ..USUAL },
    rule: free,
    ..USUALLY
};

/// The perception gym's test pictures, which are drawn, not read.
static GYM: Benchmark = Benchmark { name: "gym", rule: free, ..USUALLY };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::find;
    use crate::question::Question;

    fn asked(benchmark: &str, fields: Fields) -> Result<Question, String> {
        find(benchmark).unwrap().question(fields)
    }

    #[test]
    fn each_benchmark_has_its_rule() {
        let fields = |answer: &str| Fields { answer: answer.into(), ..Default::default() };
        let math_vista = |answer: &str, kind: &str, precision: &str| Fields {
            question_type: "free_form".into(),
            answer_type: kind.into(),
            precision: precision.into(),
            ..fields(answer)
        };
        let cases = [
            ("mathvista", math_vista("1.2", "float", "1.0"), "1.2", Rule::Rounded(1)),
            ("mathvista", math_vista("1.2", "float", ""), "1.2", Rule::Free),
            ("mathvista", math_vista("7", "integer", ""), "7", Rule::Free),
            ("mathvista", math_vista("[1, 2]", "list", ""), "[1, 2]", Rule::Free),
            ("mathvision", fields(" 5 "), "5", Rule::Free),
            ("logicvista", fields("C, A"), "A, C", Rule::Letters),
            (
                "dynamath",
                Fields { answer_type: "float".into(), ..fields("3.142") },
                "3.142",
                Rule::Within(1e-3),
            ),
            ("geometry3k", fields("12"), "12", Rule::Free),
        ];
        for (benchmark, fields, truth, rule) in cases {
            let found = asked(benchmark, fields).unwrap();
            assert_eq!((found.truth.as_str(), found.rule), (truth, rule), "{benchmark}");
        }
        let verse = Fields { question_type: "multi-choice".into(), ..fields("D") };
        let found = asked("mathverse", verse).unwrap();
        assert_eq!((found.truth.as_str(), found.rule), ("D", Rule::Choice(vec![String::new(); 8])));
        for benchmark in ["wemath", "mmmu-pro"] {
            let error = asked(benchmark, fields("A")).unwrap_err();
            assert!(error.contains("without options"), "{benchmark}: {error}");
        }
        assert!(asked("logicvista", fields("12")).unwrap_err().contains("no letter"));
        let choice = Fields { question_type: "multi_choice".into(), ..fields("A") };
        assert!(asked("mathvista", choice).is_err());
    }
}
