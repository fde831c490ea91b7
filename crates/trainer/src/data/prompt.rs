//! A prompt column to messages with their pictures in place.

use processor::{Content, Message};

use super::cell::Cell;
use super::sample::{PLACEHOLDER, count_images, put_images_in_front, split_placeholders};

/// Reads a question or a list of turns, for a row with `images` pictures.
///
/// # Errors
///
/// When the cell is neither, is empty, or asks for another number of pictures.
pub(crate) fn messages(cell: &Cell, images: usize) -> Result<Vec<Message>, String> {
    let mut messages = match cell {
        Cell::Text(text) => {
            vec![Message { role: "user".into(), content: split_placeholders(text) }]
        }
        Cell::List(turns) => turns.iter().map(turn).collect::<Result<_, _>>()?,
        other => {
            return Err(format!(
                "{}, not a string or a list of turns; write one of these",
                other.kind()
            ));
        }
    };
    let blank = |part: &Content| matches!(part, Content::Text { text } if text.trim().is_empty());
    let mut parts = messages.iter().flat_map(|message| &message.content);
    if messages.is_empty() || (images == 0 && parts.all(blank)) {
        return Err("empty; fill it or remove the row".into());
    }
    match count_images(&messages) {
        0 => put_images_in_front(&mut messages, images),
        found if found != images => {
            return Err(format!(
                "{found} {PLACEHOLDER} placeholders for {images} images; \
                 write one for each image, or none"
            ));
        }
        _ => {}
    }
    Ok(messages)
}

fn turn(cell: &Cell) -> Result<Message, String> {
    let Some(Cell::Text(role)) = cell.at("role") else {
        return Err("a turn without a role; each is {\"role\", \"content\"}".into());
    };
    let content = match cell.at("content") {
        Some(Cell::Text(text)) => split_placeholders(text),
        Some(Cell::List(parts)) => {
            parts.iter().map(part).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
        _ => return Err("a turn whose content is neither a string nor a list of parts".into()),
    };
    Ok(Message { role: role.clone(), content })
}

fn part(cell: &Cell) -> Result<Vec<Content>, String> {
    match (cell.at("type"), cell.at("text")) {
        (Some(Cell::Text(kind)), Some(Cell::Text(text))) if kind == "text" => {
            Ok(split_placeholders(text))
        }
        (Some(Cell::Text(kind)), _) if kind == "image" => Ok(vec![Content::Image]),
        (Some(Cell::Text(kind)), _) => Err(format!(
            "a part of type {kind:?}; parts are {{\"type\": \"text\", \"text\"}} or image"
        )),
        _ => Err("a part without a type; parts are {\"type\": \"text\", \"text\"} or image".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, images: usize) -> Result<Vec<Message>, String> {
        messages(&serde_json::from_str(json).unwrap(), images)
    }

    #[test]
    fn questions_and_conversations_become_messages() {
        let text = |text: &str| Content::Text { text: text.into() };
        let turn = |role: &str, content| Message { role: role.into(), content };
        let cases = [
            (r#""q""#, 0, vec![Message::user(0, "q")]),
            (r#""q""#, 2, vec![Message::user(2, "q")]),
            (r#""<image>q""#, 1, vec![Message::user(1, "q")]),
            (r#""""#, 1, vec![turn("user", vec![Content::Image])]),
            (
                r#"[{"role": "system", "content": "s"}, {"role": "user", "content": "a<image>b"}]"#,
                1,
                vec![
                    turn("system", vec![text("s")]),
                    turn("user", vec![text("a"), Content::Image, text("b")]),
                ],
            ),
            (
                r#"[{"role": "user", "content": [{"type": "image", "text": null},
                    {"type": "text", "text": "q"}]}]"#,
                1,
                vec![Message::user(1, "q")],
            ),
        ];
        for (json, images, expected) in cases {
            assert_eq!(read(json, images).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn prompts_that_make_no_sense_are_refused() {
        let cases = [
            (r#""""#, 0, "empty"),
            ("[]", 1, "empty"),
            (r#"" \n""#, 0, "empty"),
            (r#"{"role": "user"}"#, 0, "an object"),
            (r#"["q"]"#, 0, "role"),
            (r#"[{"role": "user", "content": null}]"#, 0, "content"),
            (r#"[{"role": "user", "content": [{"type": "video"}]}]"#, 0, "video"),
            (r#"[{"role": "user", "content": [{"text": "q"}]}]"#, 0, "without a type"),
            (r#""<image>q""#, 0, "1 <image> placeholders for 0 images"),
            (r#""<image>q""#, 2, "1 <image> placeholders for 2 images"),
        ];
        for (json, images, expected) in cases {
            let error = read(json, images).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
