//! A response with its perception tokens marked, for a terminal.

use std::io::IsTerminal;

use super::Subject;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Underline, and a background that grows with the shift.
    Colour,
    /// Brackets.
    Plain,
}

impl Style {
    /// Colour on terminals, unless NO_COLOR says otherwise.
    pub fn detect() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match std::io::stdout().is_terminal() && !refused {
            true => Self::Colour,
            false => Self::Plain,
        }
    }
}

/// Backgrounds of the 256-colour palette, from hardly to fully dependent on the picture.
const HEAT: [u8; 4] = [230, 222, 215, 209];

/// The response, marked, and a table of its perception tokens.
pub fn text(subject: &Subject, style: Style) -> String {
    let mut marked = String::new();
    let tokens = &subject.perceived.tokens;
    for (token, text) in tokens.iter().zip(&subject.texts) {
        if !token.perception {
            marked.push_str(&printable(text));
            continue;
        }
        let word = printable(text.trim_start());
        let space = &text[..text.len() - text.trim_start().len()];
        marked.push_str(space);
        match style {
            Style::Plain => marked.push_str(&format!("[{word}]")),
            Style::Colour => {
                let heat = ((token.score * HEAT.len() as f32) as usize).min(HEAT.len() - 1);
                marked.push_str(&format!("\x1b[4;30;48;5;{}m{word}\x1b[0m", HEAT[heat]));
            }
        }
    }
    let mut lines = format!(
        "{marked}\n\n{:<20} {:>8} {:>8} {:>8} {:>7}\n",
        "token", "entropy", "removed", "shift", "score"
    );
    for (token, text) in tokens.iter().zip(&subject.texts).filter(|(token, _)| token.perception) {
        lines.push_str(&format!(
            "{:<20} {:>8.3} {:>8.3} {:>+8.3} {:>7.3}\n",
            printable(text.trim()),
            token.original.entropy,
            token.removed.entropy,
            token.shift,
            token.score
        ));
    }
    let selected = tokens.iter().filter(|token| token.perception).count();
    lines.push_str(&format!("{selected} of {} tokens come from the picture\n", tokens.len()));
    lines
}

/// Without control characters, which would move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use perceive::{Perceived, PerceivedToken};

    use super::*;

    fn subject() -> Subject {
        let token =
            |score: f32, perception| PerceivedToken { score, perception, ..Default::default() };
        let tokens = vec![token(0.0, false), token(0.9, true), token(0.0, false)];
        Subject {
            question: "?".into(),
            pictures: Vec::new(),
            perceived: Perceived { tokens, preserved: Vec::new(), removed: Vec::new() },
            texts: vec!["a".into(), " red".into(), "\x1b[2J".into()],
        }
    }

    #[test]
    fn perception_tokens_are_marked_with_and_without_colour() {
        let plain = text(&subject(), Style::Plain);
        assert!(plain.starts_with("a [red]\u{fffd}[2J\n"), "{plain:?}");
        assert!(plain.ends_with("1 of 3 tokens come from the picture\n"), "{plain}");
        let colour = text(&subject(), Style::Colour);
        assert!(colour.starts_with("a \x1b[4;30;48;5;209mred\x1b[0m"), "{colour:?}");
    }
}
