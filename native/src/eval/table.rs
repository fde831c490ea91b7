//! Results as a table: on the terminal and in Markdown.

use std::path::Path;

use evaluation::statistics::Estimate;
use trainer::evaluate::{LeftOut, Results};

/// A line of the table: what, its value, its 95 % interval, its deviation over the runs.
pub struct Line {
    pub name: String,
    pub value: String,
    pub interval: String,
    pub deviation: String,
    /// Questions, where they are not all.
    pub questions: String,
}

/// All lines, most telling first.
pub fn lines(results: &Results) -> Vec<Line> {
    let report = &results.report;
    let n = report.n;
    let line = |name: String, estimate: &Estimate, std: Option<f64>| Line {
        name,
        value: percent(estimate.value),
        interval: interval(estimate),
        deviation: std.map_or(String::new(), |std| format!("± {:.1}", 100.0 * std)),
        questions: String::new(),
    };
    let mut lines = vec![line(format!("avg@{n}"), &report.avg, report.std)];
    if n > 1 {
        let passes = report.pass.iter().filter(|(k, _)| **k > 1);
        lines.extend(passes.map(|(k, estimate)| line(format!("pass@{k}"), estimate, None)));
        lines.push(line(format!("maj@{n}"), &report.maj, None));
    }
    if let Some(program) = &results.reward_program {
        let Estimate { value, low, high, .. } = &program.score;
        lines.push(Line {
            name: "reward program".into(),
            value: format!("{value:.3}"),
            interval: format!("{low:.3} to {high:.3}"),
            deviation: program.std.map_or(String::new(), |std| format!("± {std:.3}")),
            questions: String::new(),
        });
    }
    // An overall accuracy alone is avg@n again.
    if report.official.len() > 1 {
        lines.extend(report.official.iter().map(|measure| Line {
            name: measure.name.clone(),
            value: percent(measure.mean),
            interval: String::new(),
            deviation: measure.std.map_or(String::new(), |std| format!("± {:.1}", 100.0 * std)),
            questions: String::new(),
        }));
    }
    // One group is all questions again.
    for group in &report.groups {
        if group.questions < report.questions {
            lines.push(Line {
                questions: group.questions.to_string(),
                ..line(format!("{}: {}", group.dimension, group.name), &group.avg, group.std)
            });
        }
    }
    lines
}

pub fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

pub fn interval(estimate: &Estimate) -> String {
    format!("{:.1} to {:.1} %", 100.0 * estimate.low, 100.0 * estimate.high)
}

/// What was asked of whom, in one sentence.
pub fn title(results: &Results) -> String {
    let settings = &results.settings;
    let report = &results.report;
    format!(
        "{} on {}: {} questions, {} {}",
        settings.title(),
        settings.benchmark,
        report.questions,
        report.n,
        match (report.n, settings.temperature) {
            (1, 0.0) => "greedy response each".into(),
            (n, temperature) => format!(
                "response{} each at temperature {temperature}",
                if n == 1 { "" } else { "s" }
            ),
        }
    )
}

/// For the terminal; says where the files are.
pub fn terminal(results: &Results, folder: Option<&Path>) -> String {
    let lines = lines(results);
    let width = |of: fn(&Line) -> &String| {
        lines.iter().map(|line| of(line).chars().count()).max().unwrap_or(0)
    };
    let (names, intervals) = (width(|line| &line.name), width(|line| &line.interval));
    let mut text = format!("{}\n\n", title(results));
    for line in &lines {
        let questions = match line.questions.is_empty() {
            true => String::new(),
            false => format!("  {} questions", line.questions),
        };
        let line = format!(
            "{:names$}  {:>7}  {:>intervals$}  {:6}{questions}",
            line.name, line.value, line.interval, line.deviation
        );
        text += line.trim_end();
        text.push('\n');
    }
    text += &left_out(results);
    let speed = results.timing.questions_per_second;
    if speed > 0.0 {
        text += &format!("\n{speed:.1} questions/s, {:.1} s\n", results.timing.seconds);
    }
    if let Some(folder) = folder {
        text += &format!("{}\n", folder.join("report.html").display());
    }
    text
}

/// A line for each reason why rows were left out.
fn left_out(results: &Results) -> String {
    let line =
        |out: &LeftOut| format!("left out {}: {} (first: {})\n", out.count, out.reason, out.first);
    let lines: String = results.left_out.iter().map(line).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// `results.md`.
pub fn markdown(results: &Results) -> String {
    let header =
        "| measure | value | 95 % interval | over runs | questions |\n|---|---|---|---|---|\n";
    let mut text = format!("{}\n\n{header}", title(results));
    for line in lines(results) {
        let Line { name, value, interval, deviation, questions } = line;
        let name = name.replace('|', "\\|");
        text += &format!("| {name} | {value} | {interval} | {deviation} | {questions} |\n");
    }
    text + &left_out(results)
}
