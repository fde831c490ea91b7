//! LaTeX as plain text, the way pylatexenc's `latex2text` writes it for mathruler.
//!
//! Braces vanish: `\frac{a+b}{2}` becomes `a+b/2`. Unknown macros vanish too, their arguments stay.

use super::symbols::{accent, alphabet, is_mark, symbol};

/// Groups nested deeper are not read.
const MAX_DEPTH: usize = 64;

/// Environments whose cells are separated by spaces and rows by semicolons.
const MATRICES: [&str; 6] =
    ["array", "pmatrix", "bmatrix", "smallmatrix", "psmallmatrix", "bsmallmatrix"];

/// Plain text with roots, pi and operators spelled as the expression parser reads them.
///
/// `None` where a macro lacks an argument or its end, or groups nest too deep.
pub(super) fn to_text(latex: &str) -> Option<String> {
    let latex = latex.replace("\\tfrac", "\\frac").replace("\\dfrac", "\\frac");
    // The space keeps a whole number apart from the fraction behind it.
    let latex = latex.replace("\\frac", " \\frac");
    let mut writer = Writer { rest: &latex, text: String::with_capacity(latex.len()), depth: 0 };
    while writer.sequence(false)? != Stop::End {}
    let mut text = writer.text;
    for (from, to) in [("√", "sqrt"), ("π", "pi"), ("∞", "inf"), ("∪", "U"), ("·", "*"), ("×", "*")]
    {
        text = text.replace(from, to);
    }
    Some(text.trim().to_owned())
}

/// What ended a sequence.
#[derive(PartialEq)]
enum Stop {
    End,
    Brace,
    Cell,
    Row,
    Environment,
}

struct Writer<'a> {
    rest: &'a str,
    text: String,
    depth: usize,
}

impl<'a> Writer<'a> {
    /// Writes up to the end of the text or group; in a matrix up to the end of a cell.
    fn sequence(&mut self, matrix: bool) -> Option<Stop> {
        while let Some(next) = self.rest.chars().next() {
            self.rest = &self.rest[next.len_utf8()..];
            match next {
                '{' => self.group()?,
                '}' => return Some(Stop::Brace),
                '&' if matrix => return Some(Stop::Cell),
                '&' => self.text.push_str("   "),
                '~' => self.text.push('\u{a0}'),
                '\\' => {
                    if let Some(stop) = self.command(matrix)? {
                        return Some(stop);
                    }
                }
                '-' if self.take("--") => self.text.push('—'),
                '-' if self.take("-") => self.text.push('–'),
                '\'' if self.take("'") => self.text.push('”'),
                _ => self.text.push(next),
            }
        }
        Some(Stop::End)
    }

    /// Writes a group whose opening brace is read.
    fn group(&mut self) -> Option<()> {
        self.deeper(|writer| {
            writer.sequence(false)?;
            Some(())
        })
    }

    fn deeper(&mut self, write: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        self.depth += 1;
        (self.depth <= MAX_DEPTH).then_some(())?;
        write(self)?;
        self.depth -= 1;
        Some(())
    }

    /// Writes a macro whose backslash is read.
    fn command(&mut self, matrix: bool) -> Option<Option<Stop>> {
        let name = self.name();
        match name {
            "\\" => {
                if self.rest.starts_with('[') {
                    self.delimited('[', ']')?;
                }
                if matrix {
                    return Some(Some(Stop::Row));
                }
                self.text.push('\n');
            }
            "begin" => self.environment()?,
            "end" => {
                self.delimited('{', '}')?;
                return Some(matrix.then_some(Stop::Environment));
            }
            "frac" | "nicefrac" => {
                self.argument()?;
                self.text.push('/');
                self.argument()?;
            }
            "sqrt" => {
                self.delimited('[', ']')?;
                self.text.push_str("√(");
                self.argument()?;
                self.text.push(')');
            }
            "not" => {
                self.argument()?;
                match self.text.pop()? {
                    '=' => self.text.push('≠'),
                    '∈' => self.text.push('∉'),
                    other => self.text.extend([other, '\u{338}']),
                }
            }
            "mbox" | "hspace" | "vspace" | "label" | "color" | "textcolor" => {
                self.delimited('{', '}')?;
            }
            _ => self.symbol(name)?,
        }
        Some(None)
    }

    /// Writes what a macro stands for; alphabets and accents change their argument.
    fn symbol(&mut self, name: &str) -> Option<()> {
        let start = self.text.len();
        if let Some(style) = alphabet(name) {
            self.argument()?;
            let styled: String = self.text[start..].chars().map(style).collect();
            self.text.replace_range(start.., &styled);
        } else if let Some(mark) = accent(name) {
            self.argument()?;
            let mut marked = String::new();
            for letter in self.text[start..].chars() {
                marked.push(letter);
                marked.extend((!is_mark(letter)).then_some(mark));
            }
            self.text.replace_range(start.., &marked);
        } else {
            self.text.push_str(symbol(name));
        }
        Some(())
    }

    /// Writes the next group, macro or character.
    fn argument(&mut self) -> Option<()> {
        self.rest = self.rest.trim_start();
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        match next {
            '{' => self.group(),
            '}' => None,
            '\\' => {
                let name = self.name();
                self.text.push_str(symbol(name));
                Some(())
            }
            _ => {
                self.text.push(next);
                Some(())
            }
        }
    }

    /// Writes an environment whose `\begin` is read.
    fn environment(&mut self) -> Option<()> {
        let name = self.delimited('{', '}')?;
        if !MATRICES.contains(&name) {
            return Some(());
        }
        if name == "array" {
            self.delimited('{', '}')?;
        }
        self.deeper(|writer| {
            writer.text.push_str("[ ");
            let mut separator = "";
            loop {
                let start = writer.text.len();
                let stop = writer.sequence(true)?;
                let cell = writer.text[start..].trim().to_owned();
                writer.text.truncate(start);
                writer.text.push_str(if cell.is_empty() { "" } else { separator });
                writer.text.push_str(&cell);
                separator = match stop {
                    Stop::Cell | Stop::Brace => " ",
                    Stop::Row => "; ",
                    Stop::End | Stop::Environment => break,
                };
            }
            writer.text.push_str(" ]");
            Some(())
        })
    }

    /// The name behind a backslash: letters and the spaces after them, or one character.
    fn name(&mut self) -> &'a str {
        let rest = self.rest;
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let length = match letters {
            0 => rest.chars().next().map_or(0, char::len_utf8),
            _ => letters,
        };
        self.rest = if letters > 0 { rest[length..].trim_start() } else { &rest[length..] };
        &rest[..length]
    }

    /// Reads an argument without writing it; empty where the first delimiter is missing.
    ///
    /// `None` where the second is missing.
    fn delimited(&mut self, open: char, close: char) -> Option<&'a str> {
        let Some(inner) = self.rest.trim_start().strip_prefix(open) else { return Some("") };
        let (argument, rest) = inner.split_once(close)?;
        self.rest = rest;
        Some(argument)
    }

    fn take(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latex_is_written_as_pylatexenc_does() {
        let cases = [
            ("\\frac12", "1/2"),
            ("\\dfrac 1 2", "1/2"),
            ("\\frac{1}{2}3", "1/23"),
            ("\\frac\\pi2", "pi/2"),
            ("1\\frac{1}{2}", "1 1/2"),
            ("\\sqrt2", "sqrt(2)"),
            ("\\sqrt [3] {2}", "sqrt(2)"),
            ("\\sqrt{\\frac{1}{2}}", "sqrt( 1/2)"),
            ("\\pi r", "pir"),
            ("2\\,3", "2 3"),
            ("2\\!3", "23"),
            ("2~3", "2\u{a0}3"),
            ("\\left(1,2\\right)", "(1,2)"),
            ("\\{1,2\\}", "{1,2}"),
            ("\\unknown{a}b", "ab"),
            ("1}2{3", "123"),
            ("\\mathbf{A1}", "𝐀1"),
            ("\\mathbb{R}", "ℝ"),
            ("\\vec{AB}", "A\u{20d7}B\u{20d7}"),
            ("\\not= \\not\\in", "≠ ∉"),
            ("a--b---c''", "a–b—c”"),
            ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "[ 1 2; 3 4 ]"),
            ("\\begin{array}{cc}1\\\\[2mm] 2", "[ 1; 2 ]"),
            ("\\begin{cases}1&2\\end{cases}", "1   2"),
            ("\\textcolor{red}{x}\\mbox{cm}", "x"),
            ("\\triangle ABC", "ABC"),
            ("x\\leq 2", "x≤2"),
            ("\\", ""),
        ];
        for (latex, expected) in cases {
            assert_eq!(to_text(latex).as_deref(), Some(expected), "{latex}");
        }
    }

    #[test]
    fn what_lacks_an_argument_or_nests_too_deep_is_not_read() {
        let deep = "{".repeat(MAX_DEPTH + 1);
        for latex in
            ["\\frac1", "\\frac", "\\sqrt", "{\\sqrt}", "\\sqrt[3", "\\label{1", "1\\\\[2", &deep]
        {
            assert_eq!(to_text(latex), None, "{latex}");
        }
        let accents = "\\hat{".repeat(MAX_DEPTH) + "x";
        assert!(to_text(&accents).is_some_and(|text| text.len() <= accents.len()));
        assert!(to_text(&"\\sqrt{".repeat(MAX_DEPTH)).is_some());
    }
}
