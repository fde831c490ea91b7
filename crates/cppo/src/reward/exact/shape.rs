//! Names of points, lines, angles and polygons.

use super::token::{Kind, Token};

/// What letters name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Figure {
    /// Letters alone.
    Any,
    Segment,
    Line,
    Ray,
    Arc,
    Angle,
    Triangle,
    Circle,
    Polygon,
}

/// A figure by the names of its points.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    figure: Figure,
    points: Vec<String>,
}

impl Shape {
    /// A figure's name; letters alone are one if they are two or more capitals.
    pub fn read(tokens: &[Token<'_>]) -> Option<Self> {
        let rest = match tokens {
            [first, rest @ ..] if first.kind == Kind::Word("m") && !rest.is_empty() => {
                rest[0].is('∠').then_some(rest)?
            }
            _ => tokens,
        };
        let rest = match rest {
            [line, segment, ..]
                if line.kind == Kind::Word("line") && segment.kind == Kind::Word("segment") =>
            {
                &rest[1..]
            }
            _ => rest,
        };
        let [first, rest @ ..] = rest else { return None };
        let figure = match first.kind {
            Kind::Sign(sign) => match sign {
                '∠' => Figure::Angle,
                '△' => Figure::Triangle,
                '⊙' => Figure::Circle,
                _ => return None,
            },
            Kind::Command(name) => match name {
                "overline" => Figure::Segment,
                "overleftrightarrow" => Figure::Line,
                "overrightarrow" | "vec" => Figure::Ray,
                "widehat" | "overarc" | "overparen" | "wideparen" => Figure::Arc,
                "square" | "parallelogram" => Figure::Polygon,
                "overset" | "stackrel" if is_arc(rest) => Figure::Arc,
                _ => return None,
            },
            Kind::Word(word) => match word.to_ascii_lowercase().as_str() {
                "angle" => Figure::Angle,
                "triangle" => Figure::Triangle,
                "segment" => Figure::Segment,
                "line" => Figure::Line,
                "ray" | "vector" => Figure::Ray,
                "arc" => Figure::Arc,
                "circle" => Figure::Circle,
                "quadrilateral" | "rectangle" | "square" | "parallelogram" | "rhombus"
                | "trapezoid" | "polygon" | "pentagon" | "hexagon" => Figure::Polygon,
                _ => Figure::Any,
            },
            _ => return None,
        };
        // The sign above the letters stands before them.
        let rest = if is_arc(rest) { &rest[3..] } else { rest };
        let points = match figure {
            Figure::Any => points(tokens)?,
            _ => points(rest)?,
        };
        let enough = match figure {
            Figure::Angle | Figure::Circle => 1,
            _ => 2,
        };
        // Letters of one word only, so that products written apart stay products.
        let one_word = figure != Figure::Any || rest.iter().all(|token| !token.spaced);
        (points.len() >= enough && one_word).then_some(Self { figure, points })
    }

    /// The letters, if they are letters alone.
    pub fn letters(&self) -> Option<&[String]> {
        (self.figure == Figure::Any).then_some(&self.points)
    }

    /// The letters as a word in lower case, if they are letters alone.
    pub fn word(&self) -> Option<String> {
        self.letters().map(|letters| letters.concat().to_lowercase())
    }

    /// Whether both name the same figure; letters alone name whatever the other does.
    pub fn is_same(&self, other: &Self) -> bool {
        let figure = match (self.figure, other.figure) {
            (Figure::Any, figure) | (figure, Figure::Any) => figure,
            (figure, other) if figure == other => figure,
            _ => return false,
        };
        canonical(figure, &self.points) == canonical(figure, &other.points)
    }

    pub fn normal(&self) -> String {
        let name = match self.figure {
            Figure::Any => "",
            Figure::Segment => "segment ",
            Figure::Line => "line ",
            Figure::Ray => "ray ",
            Figure::Arc => "arc ",
            Figure::Angle => "∠",
            Figure::Triangle => "△",
            Figure::Circle => "⊙",
            Figure::Polygon => "polygon ",
        };
        name.to_owned() + &canonical(self.figure, &self.points).concat()
    }
}

/// Whether the tokens begin with an arc in braces, as in `\overset{\frown}{AB}`.
fn is_arc(tokens: &[Token<'_>]) -> bool {
    let [open, arc, close, ..] = tokens else { return false };
    let frown = [Kind::Command("frown"), Kind::Command("smallfrown"), Kind::Sign('⌢')];
    open.is('{') && frown.contains(&arc.kind) && close.is('}')
}

/// At most so many points have a name.
const MAX_POINTS: usize = 12;

fn points(tokens: &[Token<'_>]) -> Option<Vec<String>> {
    let mut points: Vec<String> = Vec::new();
    for token in tokens {
        match token.kind {
            Kind::Word(word) if word.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                points.extend(word.chars().map(String::from));
            }
            Kind::Number(number) if points.is_empty() => points.push(number.to_owned()),
            Kind::Sign('\'') => points.last_mut()?.push('\''),
            Kind::Sign('{' | '}') => {}
            _ => return None,
        }
        (points.len() <= MAX_POINTS).then_some(())?;
    }
    Some(points)
}

/// The first in order of all ways to name the figure.
fn canonical(figure: Figure, points: &[String]) -> Vec<String> {
    let reversed = || points.iter().rev().cloned().collect::<Vec<_>>();
    match (figure, points.len()) {
        (Figure::Ray, _) => points.to_vec(),
        (Figure::Triangle, _) | (Figure::Any | Figure::Circle, 3) => {
            let mut points = points.to_vec();
            points.sort_unstable();
            points
        }
        (Figure::Polygon, _) | (Figure::Any, 4..) => (0..points.len())
            .flat_map(|turn| {
                [points.to_vec(), reversed()].map(|mut points| {
                    points.rotate_left(turn);
                    points
                })
            })
            .min()
            .unwrap_or_default(),
        _ => points.to_vec().min(reversed()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    #[test]
    fn figures_have_several_names() {
        let read = |text| Shape::read(&tokens(text).unwrap()).unwrap();
        let cases = [
            ("AB", "BA", true),
            ("\\overline{AB}", "BA", true),
            ("segment AB", "\\overline{BA}", true),
            ("line segment AB", "\\overline{AB}", true),
            ("\\overrightarrow{AB}", "\\overrightarrow{BA}", false),
            ("\\overline{AB}", "\\overleftrightarrow{AB}", false),
            ("\\overset{\\frown}{AB}", "\\widehat{BA}", true),
            ("\\angle ABC", "\\angle CBA", true),
            ("\\angle ABC", "\\angle BAC", false),
            ("m\\angle ABC", "angle CBA", true),
            ("\\triangle ABC", "CAB", true),
            ("\\triangle ABC", "\\triangle ABD", false),
            ("ABCD", "CBAD", true),
            ("ABCD", "ACBD", false),
            ("\\angle 1", "\\angle 2", false),
            ("A'B'", "B'A'", true),
            ("A'B", "AB'", false),
        ];
        for (left, right, same) in cases {
            assert_eq!(read(left).is_same(&read(right)), same, "{left} {right}");
        }
        for text in ["A", "ab", "A B", "AB+C", "\\vec{a}", "2AB", "Ab"] {
            assert_eq!(Shape::read(&tokens(text).unwrap()), None, "{text}");
        }
    }
}
