//! One example, and the pictures it shows.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use image::RgbImage;
use processor::{Content, Message, ProcessorError};

/// What stands for a picture in a prompt's text, in verl's and EasyR1's data sets.
pub const PLACEHOLDER: &str = "<image>";

/// Largest picture file read, in bytes.
const MAX_PICTURE_BYTES: u64 = 1 << 29;

/// One training or evaluation example.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The conversation up to the response; it holds as many [`Content::Image`] as `images`.
    pub prompt: Vec<Message>,
    /// The prompt's pictures, in order.
    pub images: Vec<Picture>,
    /// The right answer, without a `\boxed{}` around it.
    pub answer: String,
    /// A worked response, for the supervised warm start.
    pub response: Option<String>,
    /// Spans of `response`, in bytes of UTF-8, that name something seen in a picture.
    pub seen: Vec<Range<usize>>,
    /// Where the example comes from, verl's `data_source`; metrics are grouped by it.
    pub source: String,
}

impl From<gym::Item> for Sample {
    fn from(item: gym::Item) -> Self {
        Self {
            prompt: vec![Message::user(1, item.question)],
            images: vec![Picture::Decoded(item.picture)],
            answer: item.answer,
            response: Some(item.response),
            seen: item.seen,
            source: format!("gym/{}", item.family),
        }
    }
}

/// A picture, decoded as late as possible.
#[derive(Clone, Debug, PartialEq)]
pub enum Picture {
    /// A whole picture file.
    Bytes(Vec<u8>),
    /// The path of a picture file.
    Path(PathBuf),
    /// Pixels.
    Decoded(RgbImage),
}

/// A picture that cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum PictureError {
    #[error("{}: {source}; put the picture there or set data.image_dir", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: not a regular file of at most {} bytes", path.display(), MAX_PICTURE_BYTES)]
    NotAFile { path: PathBuf },
    #[error("{}: {source}; replace the file or remove the row", path.display())]
    File { path: PathBuf, source: ProcessorError },
    #[error("{source}; replace the picture or remove the row")]
    Bytes { source: ProcessorError },
    #[error("the picture cannot be written as PNG: {source}")]
    Encode { source: image::ImageError },
}

impl Picture {
    /// The picture's pixels.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is no picture that [`processor::decode`] reads.
    pub fn decode(&self) -> Result<RgbImage, PictureError> {
        match self {
            Self::Bytes(bytes) => {
                processor::decode(bytes).map_err(|source| PictureError::Bytes { source })
            }
            Self::Path(path) => processor::decode(&read(path)?)
                .map_err(|source| PictureError::File { path: path.clone(), source }),
            Self::Decoded(picture) => Ok(picture.clone()),
        }
    }

    /// The picture as a file; pixels become PNG.
    pub(super) fn to_file(&self) -> Result<Vec<u8>, PictureError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::Path(path) => read(path),
            Self::Decoded(picture) => {
                let mut file = std::io::Cursor::new(Vec::new());
                picture
                    .write_to(&mut file, image::ImageFormat::Png)
                    .map_err(|source| PictureError::Encode { source })?;
                Ok(file.into_inner())
            }
        }
    }
}

/// Checks that a picture file is there without reading it; devices and pipes are refused, since
/// reading them may never end.
pub(super) fn check_file(path: &Path) -> Result<(), PictureError> {
    let metadata = std::fs::metadata(path)
        .map_err(|source| PictureError::Io { path: path.to_path_buf(), source })?;
    if !metadata.is_file() || metadata.len() > MAX_PICTURE_BYTES {
        return Err(PictureError::NotAFile { path: path.to_path_buf() });
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, PictureError> {
    check_file(path)?;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_PICTURE_BYTES).read_to_end(&mut bytes))
        .map_err(|source| PictureError::Io { path: path.to_path_buf(), source })?;
    Ok(bytes)
}

/// Splits text at the placeholders, keeping all other characters.
pub(super) fn split_placeholders(text: &str) -> Vec<Content> {
    let mut parts = Vec::new();
    for (place, piece) in text.split(PLACEHOLDER).enumerate() {
        if place > 0 {
            parts.push(Content::Image);
        }
        if !piece.is_empty() {
            parts.push(Content::Text { text: piece.into() });
        }
    }
    parts
}

/// Undoes [`split_placeholders`].
pub(super) fn join_placeholders(content: &[Content]) -> String {
    content
        .iter()
        .map(|part| match part {
            Content::Text { text } => text.as_str(),
            Content::Image => PLACEHOLDER,
            Content::Video => "<video>",
        })
        .collect()
}

/// Number of pictures that the messages ask for.
pub(super) fn count_images(messages: &[Message]) -> usize {
    messages
        .iter()
        .flat_map(|message| &message.content)
        .filter(|part| matches!(part, Content::Image))
        .count()
}

/// Puts `images` pictures in front of the first user turn of messages that hold none.
pub(super) fn put_images_in_front(messages: &mut [Message], images: usize) {
    let place = messages.iter().position(|message| message.role == "user").unwrap_or(0);
    if let Some(message) = messages.get_mut(place) {
        message.content.splice(0..0, vec![Content::Image; images]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_images_and_back() {
        let text = |text: &str| Content::Text { text: text.into() };
        let cases = [
            ("", vec![]),
            ("<image>", vec![Content::Image]),
            ("<image>\nHow many?", vec![Content::Image, text("\nHow many?")]),
            ("a <image><image> b", vec![text("a "), Content::Image, Content::Image, text(" b")]),
            ("no <img> here", vec![text("no <img> here")]),
        ];
        for (joined, parts) in cases {
            assert_eq!(split_placeholders(joined), parts, "{joined}");
            assert_eq!(join_placeholders(&parts), joined);
        }
    }

    #[test]
    fn images_without_a_placeholder_come_before_the_first_question() {
        let turn = |role: &str| Message { role: role.into(), ..Message::user(0, "x") };
        let cases =
            [(vec![turn("system"), turn("user"), turn("user")], 1), (vec![turn("assistant")], 0)];
        for (mut messages, place) in cases {
            put_images_in_front(&mut messages, 2);
            assert_eq!(count_images(&messages), 2);
            assert_eq!(messages[place].content, Message::user(2, "x").content);
        }
        put_images_in_front(&mut [], 1);
    }

    #[test]
    fn a_picture_decodes_alike_from_pixels_bytes_and_file() {
        let pixels = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8, y as u8, 7]));
        let bytes = Picture::Decoded(pixels.clone()).to_file().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, &bytes).unwrap();
        for picture in
            [Picture::Decoded(pixels.clone()), Picture::Bytes(bytes.clone()), Picture::Path(path)]
        {
            assert_eq!(picture.decode().unwrap(), pixels);
            assert_eq!(processor::decode(&picture.to_file().unwrap()).unwrap(), pixels);
        }
    }

    #[test]
    fn pictures_that_cannot_be_had_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text.png");
        std::fs::write(&text, "hello").unwrap();
        let cases = [
            (Picture::Bytes(b"hello".to_vec()), "not a picture"),
            (Picture::Path(text), "text.png: not a picture"),
            (Picture::Path(folder.path().join("none.png")), "image_dir"),
            (Picture::Path(folder.path().to_path_buf()), "not a regular file"),
        ];
        for (picture, expected) in cases {
            let error = picture.decode().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
