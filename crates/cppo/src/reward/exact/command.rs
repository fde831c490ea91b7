//! What LaTeX's commands mean in an answer.

/// What a command means.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// A space.
    Space,
    /// Nothing but looks; its argument counts.
    Nothing,
    /// A sign.
    Sign(char),
    /// `\left` or `\right`: nothing, with the point of an absent bracket.
    Delimiter,
    /// Upright text in braces follows.
    Text,
    /// A negated sign follows.
    Not,
    /// A letter for a set of numbers follows.
    Blackboard,
    Begin,
    End,
    /// A letter, a function or what takes arguments.
    Command,
}

pub(super) fn meaning(name: &str) -> Meaning {
    let sign = match name {
        "times" | "cdot" | "ast" => '*',
        "div" => '/',
        "{" | "lbrace" => '⦃',
        "}" | "rbrace" => '⦄',
        "\\" | "cr" => '↵',
        "le" | "leq" | "leqslant" | "leqq" => '≤',
        "ge" | "geq" | "geqslant" | "geqq" => '≥',
        "lt" => '<',
        "gt" => '>',
        "ne" | "neq" => '≠',
        "approx" => '≈',
        "cong" | "simeq" => '≅',
        "sim" => '∼',
        "parallel" => '∥',
        "perp" => '⊥',
        "infty" => '∞',
        "pm" => '±',
        "mp" => '∓',
        "cup" | "bigcup" => '∪',
        "cap" | "bigcap" => '∩',
        "in" => '∈',
        "setminus" | "backslash" => '∖',
        "emptyset" | "varnothing" => '∅',
        "lor" | "vee" => '∨',
        "land" | "wedge" => '∧',
        "circ" | "degree" | "textdegree" => '°',
        "langle" => '⟨',
        "rangle" => '⟩',
        "vert" | "lvert" | "rvert" | "mid" | "|" => '|',
        "lfloor" => '⌊',
        "rfloor" => '⌋',
        "lceil" => '⌈',
        "rceil" => '⌉',
        "lbrack" => '[',
        "rbrack" => ']',
        "colon" => ':',
        "angle" | "measuredangle" => '∠',
        "triangle" | "bigtriangleup" | "vartriangle" => '△',
        "odot" => '⊙',
        "prime" => '\'',
        "ldots" | "dots" | "cdots" => '…',
        "to" | "rightarrow" | "longrightarrow" => '→',
        "euro" => '€',
        "pounds" => '£',
        "yen" => '¥',
        "$" | "%" | "&" | "#" | "_" => return one(name),
        _ => return words(name),
    };
    Meaning::Sign(sign)
}

fn one(name: &str) -> Meaning {
    name.chars().next().map_or(Meaning::Nothing, Meaning::Sign)
}

fn words(name: &str) -> Meaning {
    match name {
        "," | ";" | ":" | " " | "\n" | ">" | "quad" | "qquad" | "thinspace" | "enspace" => {
            Meaning::Space
        }
        "left" | "right" | "middle" => Meaning::Delimiter,
        "text" | "textbf" | "textit" | "textrm" | "texttt" | "textsf" | "textnormal" | "mbox"
        | "hbox" | "mathrm" | "mathbf" | "mathit" | "mathsf" | "mathtt" | "mathcal"
        | "operatorname" | "emph" | "bm" | "boldsymbol" | "bold" | "rm" | "unit" | "mathop" => {
            Meaning::Text
        }
        "" | "!" | "(" | ")" | "[" | "]" | "big" | "Big" | "bigg" | "Bigg" | "bigl" | "bigr"
        | "Bigl" | "Bigr" | "displaystyle" | "textstyle" | "limits" | "boxed" | "fbox"
        | "nolimits" | "hline" | "phantom" | "tiny" | "small" | "large" => Meaning::Nothing,
        "not" => Meaning::Not,
        "mathbb" => Meaning::Blackboard,
        "begin" => Meaning::Begin,
        "end" => Meaning::End,
        _ => Meaning::Command,
    }
}
