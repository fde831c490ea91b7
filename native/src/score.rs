//! `cppo score`

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use clap::Args;
use cppo::reward::{Grader, Reward, RewardConfig, Verdict, reward};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};
use trainer::data::json_problem;
use trainer::reward::{Asked as Request, Program};

use crate::failure::{Failure, about};
use crate::reward_program::ProgramArgs;

/// No line is this long, in bytes.
const MAX_LINE: u64 = 1 << 26;

/// Arguments of `cppo score`.
#[derive(Args)]
pub struct Score {
    /// Say what decided about accuracy and format
    #[arg(long)]
    explain: bool,
    /// Who judges the answer: mathruler, as verl does, or exact, by meaning
    #[arg(long, default_value = "mathruler")]
    grader: Grader,
    #[command(flatten)]
    program: ProgramArgs,
}

impl Score {
    pub fn run(&self) -> Result<(), Failure> {
        let mut input = BufReader::with_capacity(1 << 16, io::stdin().lock());
        let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let mut program = self.program.start()?;
        let (lines, bad) = match self.score(&mut input, &mut output, program.as_mut()) {
            // Whoever reads the scores has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            counted => counted.map_err(about("scoring"))?,
        };
        match bad {
            0 => Ok(()),
            bad => {
                let message = format!("{bad} of {lines} lines could not be scored");
                Err(Failure { message, code: 1 })
            }
        }
    }

    /// Scores line by line; the lines that are not blank, and how many of them were bad.
    fn score<R: Read>(
        &self,
        input: &mut BufReader<R>,
        output: &mut impl Write,
        mut program: Option<&mut Program>,
    ) -> io::Result<(u64, u64)> {
        let config = RewardConfig { grader: self.grader, ..RewardConfig::default() };
        let (mut number, mut lines, mut bad) = (0u64, 0, 0);
        let mut line = Vec::new();
        loop {
            // What is known is said before waiting for more.
            if !input.buffer().contains(&b'\n') {
                output.flush()?;
            }
            line.clear();
            if input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
                output.flush()?;
                return Ok((lines, bad));
            }
            number += 1;
            if line.trim_ascii().is_empty() && line.ends_with(b"\n") {
                continue;
            }
            lines += 1;
            let scored = match line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
                true => {
                    input.skip_until(b'\n')?;
                    Err(format!("longer than {MAX_LINE} bytes"))
                }
                false => read(&line),
            };
            match scored {
                Ok(asked) => self.write(&asked, &config, output, program.as_deref_mut())?,
                Err(error) => {
                    bad += 1;
                    serde_json::to_writer(&mut *output, &json!({"error": error, "line": number}))?;
                }
            }
            output.write_all(b"\n")?;
        }
    }

    fn write(
        &self,
        asked: &Asked,
        config: &RewardConfig,
        output: &mut impl Write,
        program: Option<&mut Program>,
    ) -> io::Result<()> {
        let truth = match &asked.answer {
            Truth::Text(text) => Cow::Borrowed(text.as_ref()),
            Truth::Number(number) => Cow::Owned(number.to_string()),
        };
        let mut reward = reward(&asked.response, &truth, config);
        if let Some(program) = program {
            let request = Request {
                prompt: &asked.prompt.text(),
                response: &asked.response,
                answer: &truth,
                data_source: &asked.data_source.text(),
            };
            let judged = program.judge(&[request]).map_err(io::Error::other)?;
            judged.into_iter().for_each(|said| reward.add(program.config(), said));
        }
        let explain = self.explain.then(|| Explanation {
            accuracy: about_accuracy(&reward, &asked.response, &truth, self.grader),
            format: about_format(&reward, &asked.response),
            verdict: reward.answer.as_deref().map(|answer| self.grader.grade(answer, &truth)),
        });
        Ok(serde_json::to_writer(output, &Scored { reward, explain })?)
    }
}

/// A line of input; other keys may stand beside these.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    response: Cow<'a, str>,
    #[serde(borrow)]
    answer: Truth<'a>,
    /// For the program.
    #[serde(borrow, default)]
    prompt: Told<'a>,
    /// For the program.
    #[serde(borrow, default)]
    data_source: Told<'a>,
}

/// Text as it stands, or JSON of any other form, as verl's list of turns.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Json(Value),
}

impl Default for Told<'_> {
    fn default() -> Self {
        Self::Json(Value::Null)
    }
}

impl Told<'_> {
    /// As the program is told: nothing for null.
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text.as_ref()),
            Self::Json(Value::Null) => Cow::Borrowed(""),
            Self::Json(value) => Cow::Owned(value.to_string()),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "answer must be a string or a number")]
enum Truth<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Number(Number),
}

/// A line of output.
#[derive(Serialize)]
struct Scored {
    #[serde(flatten)]
    reward: Reward,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Explanation>,
}

#[derive(Serialize)]
struct Explanation {
    accuracy: String,
    format: &'static str,
    /// Normal forms and the rule that decided; absent without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
}

fn read(line: &[u8]) -> Result<Asked<'_>, String> {
    let json = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    serde_json::from_slice(json).map_err(|error| {
        let what = json_problem(&error);
        format!("{what}, at byte {}; a line is {{\"response\", \"answer\"}}", error.column())
    })
}

fn about_accuracy(reward: &Reward, response: &str, truth: &str, grader: Grader) -> String {
    match &reward.answer {
        None if grader == Grader::Exact => "there is no answer".into(),
        None if response.contains("\\boxed{") => "the last \\boxed{ is not closed".into(),
        None => "there is no \\boxed{}".into(),
        Some(answer) if answer.is_empty() => "the last \\boxed{} is empty".into(),
        Some(answer) if reward.accuracy == 1.0 => format!("{answer:?} answers as {truth:?}"),
        Some(answer) => format!("{answer:?} does not answer as {truth:?}"),
    }
}

/// The first part of `<think>…</think>…\boxed{…}` that is missing.
fn about_format(reward: &Reward, response: &str) -> &'static str {
    if reward.format == 1.0 {
        return "as required";
    }
    let Some(rest) = response.strip_prefix("<think>") else { return "does not begin with <think>" };
    let Some((_, rest)) = rest.split_once("</think>") else { return "<think> is not closed" };
    match rest.contains("\\boxed{") {
        true => "\\boxed{ after </think> is not closed",
        false => "there is no \\boxed{} after </think>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(input: &[u8], explain: bool, grader: Grader) -> (String, (u64, u64)) {
        let mut output = Vec::new();
        let score = Score { explain, grader, program: ProgramArgs::default() };
        let counts = score.score(&mut BufReader::new(input), &mut output, None).unwrap();
        (String::from_utf8(output).unwrap(), counts)
    }

    #[test]
    fn faults_are_explained() {
        let cases = [
            ("<think>a</think>\\boxed{4.0}", "\"4.0\" answers as \"4\"", "as required"),
            ("\\boxed{5}", "\"5\" does not answer as \"4\"", "does not begin with <think>"),
            ("<think>\\boxed{}", "the last \\boxed{} is empty", "<think> is not closed"),
            (
                "<think>\\boxed{4}</think> 4",
                "\"4\" answers as \"4\"",
                "there is no \\boxed{} after </think>",
            ),
            (
                "<think></think>\\boxed{4",
                "the last \\boxed{ is not closed",
                "\\boxed{ after </think> is not closed",
            ),
            ("4", "there is no \\boxed{}", "does not begin with <think>"),
        ];
        for (response, accuracy, format) in cases {
            let line = json!({"response": response, "answer": 4}).to_string();
            let found: serde_json::Value =
                serde_json::from_str(&scored(line.as_bytes(), true, Grader::Mathruler).0).unwrap();
            assert_eq!(found["explain"]["accuracy"], accuracy);
            assert_eq!(found["explain"]["format"], format);
            assert_eq!(found["explain"].get("verdict").is_some(), !found["answer"].is_null());
        }
    }

    #[test]
    fn verdicts_are_explained() {
        let line = json!({"response": "\\boxed{5 cm}", "answer": "0.05 m"}).to_string();
        let verdict = |grader| {
            let text = scored(line.as_bytes(), true, grader).0;
            serde_json::from_str::<serde_json::Value>(&text).unwrap()["explain"]["verdict"].clone()
        };
        let expected = json!({
            "correct": true, "rule": "same normal form", "answer": "1/20 m", "truth": "1/20 m"
        });
        assert_eq!(verdict(Grader::Exact), expected);
        assert_eq!(verdict(Grader::Mathruler)["correct"], false);
        assert_eq!(verdict(Grader::Mathruler)["rule"], "different");
    }

    #[test]
    fn a_line_without_bounds_is_refused_and_the_next_one_scored() {
        let mut input = b"{\"response\": \"".to_vec();
        input.resize((1 << 26) + 10, b'x');
        input.extend(b"\n{\"response\": \"\\\\boxed{1}\", \"answer\": 1}\n");
        let (text, counts) = scored(&input, false, Grader::Mathruler);
        assert_eq!(counts, (2, 1));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].contains("longer than 67108864 bytes"), "{}", lines[0]);
        assert!(lines[1].starts_with("{\"score\":0.9"), "{}", lines[1]);
    }
}
