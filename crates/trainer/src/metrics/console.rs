//! Training on the terminal: one line per step.

use std::ffi::OsStr;
use std::io::IsTerminal;

use super::Metrics;

/// Lines between two headers.
const HEADER_EVERY: u64 = 20;
/// The metric with a step's seconds.
const SECONDS: &str = "timing_s/step";
/// Shown once there are any.
const SKIPPED: (&str, &str) = ("skip", "data/skipped");
/// Label, metric (up to its number of responses) and meaning of what a line shows.
const COLUMNS: [(&str, &str, &str); 8] = [
    ("score", "critic/score/mean", "mean reward"),
    ("acc", "reward/accuracy", "mean accuracy"),
    ("len", "response_length/mean", "tokens per response"),
    ("kl", "actor/kl_loss", "distance from the reference"),
    ("cpl", "actor/cpl_loss", "contrastive perception loss"),
    ("|g|", "actor/grad_norm", "gradient norm"),
    ("val", "val-core/all/acc/mean@", "validation accuracy"),
    (SKIPPED.0, SKIPPED.1, "examples left out"),
];

/// Composes the lines of a run.
#[derive(Clone, Debug)]
pub struct Console {
    total_steps: u64,
    colour: bool,
    lines: u64,
    timed: u64,
    seconds: f64,
}

impl Console {
    /// A run of `total_steps`; see [`colour_wanted`].
    pub fn new(total_steps: u64, colour: bool) -> Self {
        Self { total_steps, colour, lines: 0, timed: 0, seconds: 0.0 }
    }

    /// A step's line, with a header before every twentieth; the time left is what the steps so far
    /// predict.
    pub fn step(&mut self, step: u64, metrics: &Metrics) -> String {
        if let Some(seconds) = metrics.get(SECONDS).filter(|seconds| seconds.is_finite()) {
            self.timed += 1;
            self.seconds += seconds;
        }
        let left = self.total_steps.saturating_sub(step) as f64;
        let eta = (self.timed > 0).then(|| left * self.seconds / self.timed as f64);
        let line = line(step, self.total_steps, metrics, eta, self.colour);
        let header = match self.lines % HEADER_EVERY {
            0 => header(metrics, self.colour).map(|header| header + "\n").unwrap_or_default(),
            _ => String::new(),
        };
        self.lines += 1;
        header + &line
    }
}

/// What the labels mean of those that `metrics` has; None when it has none.
pub fn header(metrics: &Metrics, colour: bool) -> Option<String> {
    let known = COLUMNS.iter().filter(|(_, name, _)| shown(metrics, name).is_some());
    let meanings: Vec<_> = known.map(|(label, _, meaning)| format!("{label}: {meaning}")).collect();
    (!meanings.is_empty()).then(|| dim(&meanings.join(", "), colour))
}

/// The value of a column, where it is shown.
fn shown(metrics: &Metrics, name: &str) -> Option<f64> {
    let called = |other: &str| other == name || name.ends_with('@') && other.starts_with(name);
    let value = metrics.iter().find(|(other, _)| called(other))?.1;
    Some(value).filter(|&value| name != SKIPPED.1 || value > 0.0)
}

/// One step, without a line break: `step 12/120  score 0.71  len 25.3  4.8 s  eta 8:32`, padded so
/// that lines align.
///
/// Metrics that are missing are left out. `eta` is in seconds.
pub fn line(
    step: u64,
    total_steps: u64,
    metrics: &Metrics,
    eta: Option<f64>,
    colour: bool,
) -> String {
    let width = total_steps.to_string().len();
    let mut line = format!("{} {step:>width$}/{total_steps}", dim("step", colour));
    for (label, name, _) in COLUMNS {
        if let Some(value) = shown(metrics, name) {
            line += &format!("  {} {:<6}", dim(label, colour), number(value));
        }
    }
    if let Some(seconds) = metrics.get(SECONDS) {
        line += &format!("  {:<6}", number(seconds) + " s");
    }
    if let Some(eta) = eta.and_then(clock) {
        line += &format!("  {} {eta}", dim("eta", colour));
    }
    line.truncate(line.trim_end().len());
    line
}

/// Whether standard output is a terminal that may show colour: `NO_COLOR` is not set
/// (<https://no-color.org>).
pub fn colour_wanted() -> bool {
    may_colour(std::env::var_os("NO_COLOR").as_deref(), std::io::stdout().is_terminal())
}

fn may_colour(no_color: Option<&OsStr>, terminal: bool) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty)
}

fn dim(text: &str, colour: bool) -> String {
    match colour {
        true => format!("\x1b[2m{text}\x1b[0m"),
        false => text.to_string(),
    }
}

/// Three digits that matter, in few characters.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size.is_finite() && !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = match size {
        0.0 => 0,
        _ => (2.0 - size.log10().floor()).clamp(0.0, 5.0) as usize,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

/// Seconds as `m:ss` or `h:mm:ss`.
fn clock(seconds: f64) -> Option<String> {
    if !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics::from_iter([
            ("critic/score/mean", 0.7104),
            ("reward/accuracy", 0.68),
            ("response_length/mean", 25.32),
            ("actor/kl_loss", 0.002),
            ("actor/cpl_loss", 0.24),
            ("actor/grad_norm", 1.3),
            ("timing_s/step", 4.8),
        ])
    }

    #[test]
    fn a_line_shows_what_was_measured_and_leaves_out_the_rest() {
        let three = Metrics::from_iter([("actor/grad_norm", f64::NAN), ("other", 1.0)]);
        let cases = [
            (
                12,
                metrics(),
                Some(512.4),
                "step  12/120  score 0.71    acc 0.68    len 25.3    kl 0.002   cpl 0.24    |g| 1.3     4.8 s   eta 8:32",
            ),
            (120, three, Some(0.0), "step 120/120  |g| NaN     eta 0:00"),
            (7, Metrics::default(), None, "step   7/120"),
            (130, Metrics::default(), Some(f64::NAN), "step 130/120"),
        ];
        for (step, metrics, eta, expected) in cases {
            assert_eq!(line(step, 120, &metrics, eta, false), expected);
        }
    }

    #[test]
    fn colour_changes_nothing_but_escape_codes() {
        let coloured = line(1, 9, &metrics(), Some(60.0), true);
        assert!(coloured.contains("\x1b[2mscore\x1b[0m 0.71"), "{coloured:?}");
        let plain = coloured.replace("\x1b[2m", "").replace("\x1b[0m", "");
        assert_eq!(plain, line(1, 9, &metrics(), Some(60.0), false));
        for (no_color, terminal, expected) in [
            (None, true, true),
            (None, false, false),
            (Some(""), true, true),
            (Some("1"), true, false),
            (Some("1"), false, false),
        ] {
            assert_eq!(may_colour(no_color.map(OsStr::new), terminal), expected, "{no_color:?}");
        }
    }

    #[test]
    fn a_header_stands_before_every_twentieth_line() {
        let mut console = Console::new(50, false);
        let lines: Vec<String> = (1..=41).map(|step| console.step(step, &metrics())).collect();
        let headers: Vec<usize> = (0..41).filter(|&index| lines[index].contains('\n')).collect();
        assert_eq!(headers, [0, 20, 40]);
        assert!(lines[0].starts_with("score: mean reward, acc: mean accuracy, "), "{}", lines[0]);
        assert_eq!(Console::new(5, false).step(1, &Metrics::default()), "step 1/5");
    }

    #[test]
    fn the_time_left_follows_the_mean_of_the_steps_so_far() {
        let mut console = Console::new(12, false);
        let steps = [(8, 10.0, "eta 0:40"), (9, 20.0, "eta 0:45"), (10, f64::NAN, "eta 0:30")];
        for (step, seconds, expected) in steps {
            let line = console.step(step, &Metrics::from_iter([(SECONDS, seconds)]));
            assert!(line.ends_with(expected), "{line}");
        }
    }

    #[test]
    fn numbers_and_times_are_short() {
        let numbers = [
            (0.0, "0"),
            (-0.5, "-0.5"),
            (0.7149, "0.715"),
            (0.9999, "1"),
            (12.345, "12.3"),
            (1200.4, "1200"),
            (99999.0, "99999"),
            (123456.0, "1.2e5"),
            (0.00123, "0.00123"),
            (0.000123, "1.2e-4"),
            (-1e-9, "-1.0e-9"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::MAX, "1.8e308"),
            (f64::MIN_POSITIVE, "2.2e-308"),
        ];
        for (value, expected) in numbers {
            assert_eq!(number(value), expected);
        }
        let times = [
            (0.4, Some("0:00")),
            (59.6, Some("1:00")),
            (3599.0, Some("59:59")),
            (93784.0, Some("26:03:04")),
            (-1.0, None),
            (f64::INFINITY, None),
        ];
        for (seconds, expected) in times {
            assert_eq!(clock(seconds).as_deref(), expected, "{seconds}");
        }
    }
}
