//! Twenty questions of each benchmark in the form it is published in, with known right answers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, FixedSizeListArray, Float64Array, Int64Array, RecordBatch, StringArray,
    StructArray,
};
use arrow_schema::Field;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, RgbImage};
use parquet::arrow::ArrowWriter;

/// Questions in a file.
pub const ROWS: usize = 20;

/// A benchmark's files, and what must be answered.
pub struct Files {
    pub benchmark: &'static str,
    pub paths: Vec<PathBuf>,
    /// A right answer to each question, put in a box.
    pub right: Vec<String>,
    /// A wrong one to all.
    pub wrong: &'static str,
}

/// A small picture file.
pub fn png() -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let picture = RgbImage::from_fn(28, 28, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 90]));
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

fn texts(value: impl Fn(usize) -> String) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..ROWS).map(value)))
}

fn maybe(value: impl Fn(usize) -> Option<&'static str>) -> ArrayRef {
    Arc::new((0..ROWS).map(value).collect::<StringArray>())
}

fn lists(value: impl Fn(usize) -> Option<Vec<&'static str>>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..ROWS {
        let list = value(row);
        list.iter().flatten().for_each(|text| lists.values().append_value(text));
        lists.append(list.is_some());
    }
    Arc::new(lists.finish())
}

fn fields(columns: Vec<(&str, ArrayRef)>) -> StructArray {
    let field = |(name, array): (&str, ArrayRef)| {
        (Arc::new(Field::new(name, array.data_type().clone(), true)), array)
    };
    StructArray::from(columns.into_iter().map(field).collect::<Vec<_>>())
}

/// The hub's picture column.
fn pictures() -> ArrayRef {
    let bytes = BinaryArray::from_iter_values((0..ROWS).map(|_| png()));
    Arc::new(fields(vec![("bytes", Arc::new(bytes)), ("path", maybe(|_| None))]))
}

fn save(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    write(path, RecordBatch::from(fields(columns)));
}

fn write(path: &Path, batch: RecordBatch) {
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Base64 broken into lines, as some programs write it.
fn base64_lines() -> String {
    let text = STANDARD.encode(png());
    let lines: Vec<&str> =
        text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\n")
}

/// A `.tsv`; pictures of odd rows refer to the row before, as VLMEvalKit's files do.
pub fn tsv(path: &Path, names: &[&str], row: impl Fn(usize) -> Vec<String>) {
    let quoted = |text: &String| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text = format!("index\timage\t{}\n", names.join("\t"));
    for index in 0..ROWS {
        let image = if index % 2 == 1 { (index - 1).to_string() } else { base64_lines() };
        let fields = [vec![index.to_string(), image], row(index)].concat();
        text += &(fields.iter().map(quoted).collect::<Vec<_>>().join("\t") + "\n");
    }
    std::fs::write(path, text).unwrap();
}

fn letter(row: usize) -> String {
    ["A", "B", "C", "D"][row % 4].into()
}

fn answers(answer: impl Fn(usize) -> String) -> Vec<String> {
    (0..ROWS).map(answer).collect()
}

/// A quarter each: a choice by the text of an option, an integer, a rounded number, a text.
fn math_vista(folder: &Path) -> Files {
    let path = folder.join("testmini.parquet");
    let kind = |row: usize, kinds: [&'static str; 4]| kinds[row % 4];
    let truth = move |row| kind(row, ["red", "7", "1.2", "Paris"]).to_string();
    save(
        &path,
        vec![
            ("pid", texts(|row| (row + 1).to_string())),
            ("question", texts(|row| format!("Question {row}?"))),
            ("image", texts(|row| format!("images/{row}.jpg"))),
            ("decoded_image", pictures()),
            ("choices", lists(move |row| (row % 4 == 0).then(|| vec!["blue", "red"]))),
            ("unit", maybe(|_| None)),
            (
                "precision",
                Arc::new(
                    (0..ROWS).map(|row| (row % 4 == 2).then_some(1.0)).collect::<Float64Array>(),
                ),
            ),
            ("answer", texts(truth)),
            (
                "question_type",
                texts(move |row| {
                    kind(row, ["multi_choice", "free_form", "free_form", "free_form"]).into()
                }),
            ),
            (
                "answer_type",
                texts(move |row| kind(row, ["text", "integer", "float", "text"]).into()),
            ),
            (
                "metadata",
                Arc::new(fields(vec![
                    ("category", texts(|_| "math-targeted-vqa".into())),
                    ("img_height", Arc::new(Int64Array::from(vec![28; ROWS]))),
                    (
                        "skills",
                        lists(|_| Some(vec!["arithmetic reasoning", "algebraic reasoning"])),
                    ),
                    ("task", texts(move |row| kind(row, ["a", "a", "b", "b"]).into())),
                ])),
            ),
            ("query", texts(|row| format!("Hint: answer.\nQuestion: Question {row}?"))),
        ],
    );
    let right = answers(move |row| kind(row, ["B", "7.0", "1.24", "paris"]).into());
    Files { benchmark: "mathvista", paths: vec![path], right, wrong: "99" }
}

fn math_verse(folder: &Path) -> Files {
    let path = folder.join("testmini.parquet");
    let version = |row: usize| row % 4 + usize::from(row >= 16);
    let versions =
        ["Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only"];
    save(
        &path,
        vec![
            ("sample_index", texts(|row| (row + 1).to_string())),
            ("problem_index", texts(|row| (row / 5 + 1).to_string())),
            ("problem_version", texts(move |row| versions[version(row)].into())),
            (
                "question",
                texts(move |row| if version(row) == 4 { "".into() } else { "Find x.".into() }),
            ),
            ("image", pictures()),
            ("answer", texts(|row| if row < 10 { "C".into() } else { "12".into() })),
            (
                "question_type",
                texts(|row| if row < 10 { "multi-choice".into() } else { "free-form".into() }),
            ),
            ("metadata", Arc::new(fields(vec![("subject", texts(|_| "Plane Geometry".into()))]))),
            ("query_wo", texts(|_| "Please directly answer the question.".into())),
            ("query_cot", texts(|_| "Please first conduct reasoning.\nQuestion: Find x.".into())),
        ],
    );
    let right = answers(|row| if row < 10 { "C: 12".into() } else { "12^\\circ".into() });
    Files { benchmark: "mathverse", paths: vec![path], right, wrong: "D" }
}

fn math_vision(folder: &Path) -> Files {
    let path = folder.join("test.parquet");
    save(
        &path,
        vec![
            ("id", texts(|row| row.to_string())),
            ("question", texts(|row| format!("How many in <image1>? {row}"))),
            (
                "options",
                lists(|row| Some(if row % 2 == 0 { vec!["3", "4", "5"] } else { Vec::new() })),
            ),
            ("image", texts(|row| format!("images/{row}.jpg"))),
            ("decoded_image", pictures()),
            ("answer", texts(|row| if row % 2 == 0 { "B".into() } else { "4".into() })),
            ("solution", maybe(|_| None)),
            (
                "level",
                Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| 1 + row as i64 % 5))),
            ),
            ("subject", texts(|row| if row < 5 { "algebra".into() } else { "topology".into() })),
        ],
    );
    Files { benchmark: "mathvision", paths: vec![path], right: answers(|_| "4".into()), wrong: "5" }
}

/// Five problems of two steps, one of three, and a part of another.
fn we_math(folder: &Path) -> Files {
    let path = folder.join("WeMath.tsv");
    let names =
        ["ID", "split", "key", "question", "A", "B", "C", "D", "answer", "knowledge concept"];
    tsv(&path, &names, |row| {
        let (problem, key) = match row {
            0..15 => (row / 3, ["2steps_1", "2steps_2", "2steps_multi"][row % 3]),
            _ => (
                (row - 15) / 4,
                ["3steps_1", "3steps_2", "3steps_3", "3steps_multi"][(row - 15) % 4],
            ),
        };
        let question = format!("What is \"it\"?\n{row}");
        [&problem.to_string(), "testmini", key, &question, "1", "2", "3", "4", &letter(row), "area"]
            .map(String::from)
            .to_vec()
    });
    Files { benchmark: "wemath", paths: vec![path], right: answers(letter), wrong: "none of them" }
}

fn logic_vista(folder: &Path) -> Files {
    let path = folder.join("LogicVista.tsv");
    tsv(&path, &["question", "answer", "skill"], |row| {
        let answer = if row % 2 == 0 { "A, C" } else { "B" };
        vec![format!("Which? {row}"), answer.into(), ["inductive", "spatial"][row % 2].into()]
    });
    let right = answers(|row| if row % 2 == 0 { "C and A".into() } else { "B".into() });
    Files { benchmark: "logicvista", paths: vec![path], right, wrong: "A, B" }
}

/// Two variants of ten questions, a file each.
fn dyna_math(folder: &Path) -> Files {
    let kind = |row: usize| ["float", "multiple choice", "text"][row % 10 % 3];
    let batch = RecordBatch::from(fields(vec![
        ("id", texts(|row| (row % 10).to_string())),
        ("question", texts(|row| format!("Variant {row}?"))),
        ("image", texts(|row| format!("images/{row}.png"))),
        ("decoded_image", pictures()),
        (
            "ground_truth",
            texts(move |row| match kind(row) {
                "float" => "3.142".into(),
                "text" => "even function".into(),
                _ => letter(row),
            }),
        ),
        ("answer_type", texts(move |row| kind(row).into())),
        ("subject", texts(|_| "graph theory".into())),
        ("knowledge_level", texts(|_| "high school".into())),
    ]));
    let paths = [0, 10].map(|start| {
        let path = folder.join(format!("sample_variant{}-00000-of-00001.parquet", 1 + start / 10));
        write(&path, batch.slice(start, 10));
        path
    });
    let right = answers(move |row| match kind(row) {
        "float" => "π".into(),
        "text" => "Even".into(),
        _ => letter(row),
    });
    Files { benchmark: "dynamath", paths: paths.to_vec(), right, wrong: "99" }
}

fn mmmu_pro(folder: &Path) -> Files {
    let path = folder.join("test.parquet");
    save(
        &path,
        vec![
            ("id", texts(|row| format!("test_Art_{row}"))),
            ("image", pictures()),
            ("options", texts(|_| "['a cat', \"a dog's tail\", 'a bird', 'a fish']".into())),
            ("answer", texts(letter)),
            ("subject", texts(|_| "Art".into())),
        ],
    );
    let right = ["a cat", "a dog's tail", "(C)", "D. a fish"];
    let right = answers(move |row| right[row % 4].into());
    Files { benchmark: "mmmu-pro", paths: vec![path], right, wrong: "E" }
}

fn geometry_3k(folder: &Path) -> Files {
    let path = folder.join("test-00000-of-00001.parquet");
    let pictures = pictures();
    let field = Arc::new(Field::new("item", pictures.data_type().clone(), true));
    let images = FixedSizeListArray::new(field, 1, pictures, None);
    save(
        &path,
        vec![
            ("images", Arc::new(images)),
            ("problem", texts(|row| format!("<image>Find x in {row}."))),
            ("answer", texts(|_| "2 \\sqrt { 221 }".into())),
        ],
    );
    let right = answers(|_| "2\\sqrt{221}".into());
    Files { benchmark: "geometry3k", paths: vec![path], right, wrong: "2" }
}

/// All of them, each in a folder of its own.
pub fn all(folder: &Path) -> Vec<Files> {
    let makers: [fn(&Path) -> Files; 8] = [
        math_vista,
        math_verse,
        math_vision,
        we_math,
        logic_vista,
        dyna_math,
        mmmu_pro,
        geometry_3k,
    ];
    let make = |(place, make): (usize, fn(&Path) -> Files)| {
        let folder = folder.join(place.to_string());
        std::fs::create_dir(&folder).unwrap();
        make(&folder)
    };
    makers.into_iter().enumerate().map(make).collect()
}
