//! Samples by number, from one file or a folder of files.

use std::path::Path;

use image::RgbImage;

use super::columns::{Columns, Mapping};
use super::error::DataError;
use super::rows::{Place, Rows};
use super::sample::Sample;

/// A data set on disk, read a row at a time.
///
/// Memory stays bounded for files of any size: JSON lines are read by seeking, parquet keeps some
/// decoded rows, and pictures stay encoded until asked for.
#[derive(Debug)]
pub struct Dataset {
    columns: Columns,
    rows: Rows,
}

/// The columns of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// All columns.
    pub columns: Vec<String>,
    /// Parts of a sample (prompt, images, answer, response, seen, source) and the column, or the
    /// field of one, that each is read from.
    pub used: Vec<(&'static str, String)>,
}

impl Dataset {
    /// Opens a `.jsonl`, `.json` (one object a line), `.parquet` or `.tsv` file, or all such files of a
    /// folder in the order of their names, of one split where `@SPLIT` stands behind it; or a data
    /// set of the hub, `OWNER/NAME@SPLIT`, which is downloaded into the cache, by default its
    /// split `train`.
    ///
    /// The layouts of verl, EasyR1 (geometry3k) and ViRL39K are recognised by their columns;
    /// `mapping` names others. Relative picture paths begin at `image_dir`, or else at the folder
    /// of the file.
    ///
    /// # Errors
    ///
    /// When there is no such file, it is damaged, or its columns are of none of these layouts.
    pub fn open(
        path: &Path,
        mapping: &Mapping,
        image_dir: Option<&Path>,
    ) -> Result<Self, DataError> {
        Self::open_split(&[path], "train", mapping, image_dir)
    }

    /// As [`Self::open`] for one or several names, with another default for the split of the hub's
    /// data sets.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open_split(
        names: &[&Path],
        usual: &str,
        mapping: &Mapping,
        image_dir: Option<&Path>,
    ) -> Result<Self, DataError> {
        let columns = Columns::new(mapping);
        let rows = Rows::open(names, usual, &columns, image_dir)?;
        Ok(Self { columns, rows })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The files, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.rows.files()
    }

    /// The first file's columns and what is read from them; JSON lines without rows have none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read any more.
    pub fn layout(&self) -> Result<Layout, DataError> {
        let columns = self.rows.names()?;
        let used = self.columns.used(&columns);
        Ok(Layout { columns, used })
    }

    /// The sample at `index`, counted from 0; its pictures are not decoded.
    ///
    /// # Errors
    ///
    /// When there is no such row, or it is damaged or lacks something.
    pub fn get(&self, index: usize) -> Result<Sample, DataError> {
        let (row, place) = self.rows.get(index)?;
        self.columns.sample(&row, place.folder).map_err(|fault| fault.at(place.path, place.row))
    }

    /// Where the row at `index` is.
    pub(crate) fn place(&self, index: usize) -> Result<Place<'_>, DataError> {
        self.rows.place(index)
    }

    /// Decodes the pictures of `sample`, which is this data set's at `index`.
    ///
    /// # Errors
    ///
    /// When one cannot be decoded; the message says where it is.
    pub fn pictures(&self, index: usize, sample: &Sample) -> Result<Vec<RgbImage>, DataError> {
        let place = self.rows.place(index)?;
        let decoded = sample.images.iter().enumerate().map(|(number, picture)| {
            let fault = |error| place.fault(format!("image {}: {error}", number + 1));
            picture.decode().map_err(fault)
        });
        decoded.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use image::ImageFormat;
    use processor::Message;

    use super::*;

    /// Files written by pyarrow 26 in the schemas that the hub and verl's scripts have.
    fn foreign(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
    }

    fn open(path: &Path) -> Result<Dataset, String> {
        Dataset::open(path, &Mapping::default(), None).map_err(|error| error.to_string())
    }

    fn all(dataset: &Dataset) -> Vec<Sample> {
        (0..dataset.len()).map(|row| dataset.get(row).unwrap()).collect()
    }

    fn row(answer: &str) -> String {
        format!("{{\"prompt\": \"q\", \"answer\": \"{answer}\"}}\n")
    }

    #[test]
    fn files_of_other_programs_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("images")).unwrap();
        for name in ["a", "b"] {
            let path = folder.path().join(format!("images/{name}.png"));
            RgbImage::new(4, 3).save_with_format(path, ImageFormat::Png).unwrap();
        }
        type Expected = (&'static str, &'static [(u32, u32)], &'static str, &'static str);
        let geometry: [Expected; 3] = [
            ("<image>Find x.", &[(4, 3)], "3", "unknown"),
            ("<image>Compare with <image>.", &[(2, 2), (3, 2)], r"2 \sqrt { 221 }", "unknown"),
            ("What is 1 + 1?", &[], "2", "unknown"),
        ];
        let verl: [Expected; 3] = [
            ("<image>Find x.", &[(4, 3)], "3", "hiyouga/geometry3k"),
            ("<image><image>Which?", &[(2, 2), (3, 2)], "the second", "hiyouga/geometry3k"),
            ("No picture.", &[], "7", "clevr"),
        ];
        let virl39k: [Expected; 2] = [
            ("<image>How many?", &[(4, 3)], "5", "Geo"),
            ("<image><image>Which?", &[(4, 3), (4, 3)], "B", "Chart"),
        ];
        let cases: [(&str, &[Expected]); 3] = [
            ("geometry3k.parquet", &geometry),
            ("verl.parquet", &verl),
            ("virl39k.parquet", &virl39k),
        ];
        for (name, expected) in cases {
            let mapping = Mapping::default();
            let dataset = Dataset::open(&foreign(name), &mapping, Some(folder.path())).unwrap();
            assert_eq!(dataset.len(), expected.len());
            for (index, &(question, sizes, answer, source)) in expected.iter().enumerate().rev() {
                let sample = dataset.get(index).unwrap();
                let asked = sample.prompt.last().unwrap();
                let joined = crate::data::sample::join_placeholders(&asked.content);
                assert_eq!((asked.role.as_str(), joined.as_str()), ("user", question), "{name}");
                assert_eq!((sample.answer.as_str(), sample.source.as_str()), (answer, source));
                let pictures = dataset.pictures(index, &sample).unwrap();
                let found: Vec<_> = pictures.iter().map(RgbImage::dimensions).collect();
                assert_eq!(found, sizes, "{name}");
            }
        }
        let verl = open(&foreign("verl.parquet")).unwrap();
        let colours = verl.pictures(1, &verl.get(1).unwrap()).unwrap();
        assert_eq!(colours[0].get_pixel(0, 0).0, [0, 0, 255]);
        assert_eq!(verl.get(1).unwrap().prompt[0].role, "system");
    }

    #[test]
    fn a_folder_is_its_files_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("train-00001-of-00003.jsonl", &(row("2") + &row("3")));
        write("train-00000-of-00003.jsonl", &row("1"));
        write("train-00002-of-00003-0a1b2c.json", "");
        write("z.JSONL", &row("4"));
        write("readme.md", "text");
        write(".hidden.jsonl", "text");
        let dataset = open(folder.path()).unwrap();
        let answers: Vec<_> = all(&dataset).into_iter().map(|sample| sample.answer).collect();
        assert_eq!(answers, ["1", "2", "3", "4"]);
        assert!(!dataset.is_empty());
        let error = dataset.get(4).unwrap_err().to_string();
        assert!(error.contains("no row 4: the data set holds 4 rows"), "{error}");
        write("test-00000-of-00001.jsonl", &row("5"));
        let error = open(folder.path()).unwrap_err();
        assert!(error.contains("several splits (test, train)"), "{error}");

        let folder = tempfile::tempdir().unwrap();
        for name in ["train.jsonl", "test.jsonl"] {
            std::fs::write(folder.path().join(name), row("1")).unwrap();
        }
        let error = open(folder.path()).unwrap_err();
        assert!(error.contains("several splits (test, train)"), "{error}");
    }

    #[test]
    fn the_layout_names_the_columns_and_what_is_read_from_them() {
        let used = |name: &str| open(&foreign(name)).unwrap().layout().unwrap().used;
        let verl = used("verl.parquet");
        assert!(verl.contains(&("answer", "reward_model.ground_truth".into())), "{verl:?}");
        assert!(used("geometry3k.parquet").contains(&("prompt", "problem".into())));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, row("1")).unwrap();
        let dataset = open(&path).unwrap();
        assert_eq!(dataset.layout().unwrap().columns, ["prompt", "answer"]);
        assert_eq!(dataset.files().collect::<Vec<_>>(), [path.as_path()]);
        std::fs::write(&path, "").unwrap();
        assert_eq!(
            open(&path).unwrap().layout().unwrap(),
            Layout { columns: vec![], used: vec![] }
        );
    }

    #[test]
    fn paths_of_pictures_begin_at_the_file_or_at_image_dir() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        std::fs::write(&path, r#"{"question": "q", "answer": 1, "image": "a.png"}"#).unwrap();
        let images = folder.path().join("images");
        std::fs::create_dir(&images).unwrap();
        let red = RgbImage::from_pixel(1, 1, image::Rgb([255, 0, 0]));
        red.save(images.join("a.png")).unwrap();
        let error = open(&path).unwrap().get(0).unwrap_err().to_string();
        for expected in ["data.jsonl, line 1: column image: ", "a.png", "image_dir"] {
            assert!(error.contains(expected), "{error}");
        }
        let dataset = Dataset::open(&path, &Mapping::default(), Some(&images)).unwrap();
        let sample = dataset.get(0).unwrap();
        assert_eq!(sample.prompt, [Message::user(1, "q")]);
        assert_eq!(dataset.pictures(0, &sample).unwrap(), [red]);
        std::fs::write(images.join("a.png"), "no picture").unwrap();
        let error = dataset.pictures(0, &sample).unwrap_err().to_string();
        for expected in ["data.jsonl, line 1: image 1: ", "a.png", "not a picture"] {
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn threads_share_a_data_set() {
        let folder = tempfile::tempdir().unwrap();
        let lines: String = (0..50).map(|n| row(&n.to_string())).collect();
        std::fs::write(folder.path().join("a.jsonl"), lines).unwrap();
        std::fs::copy(foreign("verl.parquet"), folder.path().join("b.parquet")).unwrap();
        let dataset = open(folder.path()).unwrap();
        let expected = all(&dataset);
        std::thread::scope(|scope| {
            for first in 0..4 {
                let (dataset, expected) = (&dataset, &expected);
                scope.spawn(move || {
                    for index in (first..expected.len()).rev() {
                        assert_eq!(dataset.get(index).unwrap(), expected[index]);
                    }
                });
            }
        });
    }

    #[test]
    fn what_is_no_data_set_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let cases = [
            (folder.path().join("none.jsonl"), "none.jsonl: "),
            (empty, "no .jsonl, .json, .parquet or .tsv file"),
            (write("a.csv", b"prompt,answer"), "neither .jsonl"),
            (write("a.parquet", b"prompt,answer"), "not a whole parquet file"),
            (write("b.parquet", b""), "not a whole parquet file"),
            (write("a.jsonl", b"{\"text\": 1}"), "no column prompt or problem or question"),
        ];
        for (path, expected) in cases {
            let error = open(&path).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let mapping = Mapping { answer_key: Some("solution".into()), ..Mapping::default() };
        let error = Dataset::open(&foreign("verl.parquet"), &mapping, None).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("verl.parquet: no column solution; its columns are data"),
            "{error}"
        );
        let mapping = Mapping { answer_key: Some("extra_info".into()), ..Mapping::default() };
        let dataset = Dataset::open(&foreign("verl.parquet"), &mapping, None).unwrap();
        let error = dataset.get(2).unwrap_err().to_string();
        assert!(
            error.contains("verl.parquet, row 2 (from 0): column extra_info: an object, not"),
            "{error}"
        );
    }
}
