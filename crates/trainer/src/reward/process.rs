//! A child process that is written to and read from by lines, and never waited for without end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest line read, in bytes.
const MAX_LINE: usize = 1 << 20;

/// Lines read before they are asked for.
const MAX_LINES: usize = 256;

/// Most bytes kept of what the program last said on standard error.
const MAX_SAID: usize = 300;

/// How long the end of a program may take once it closed its output.
const ENDING: Duration = Duration::from_millis(100);

/// A running program; dropped, it and its own children are killed.
pub(super) struct Process {
    child: Child,
    input: Sender<Vec<u8>>,
    output: Receiver<Vec<u8>>,
    said: Arc<Mutex<String>>,
    ended: bool,
}

/// Why there is no further line.
#[derive(Debug, PartialEq)]
pub(super) enum NoLine {
    /// The time is over.
    Late,
    /// The program has closed its output.
    Closed,
    /// The line has more than 2²⁰ bytes.
    Long,
}

impl Process {
    /// Starts a program, with its arguments, in a process group of its own: Ctrl-C in the terminal
    /// asks the run to stop, not the program.
    ///
    /// # Errors
    ///
    /// When there is no such program, or it cannot be run.
    pub fn start(command: &[String]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let (input, texts) = channel::<Vec<u8>>();
        let (lines, output) = sync_channel(MAX_LINES);
        let said = Arc::new(Mutex::new(String::new()));
        // The threads end when the pipes do, at the latest when the program is killed.
        if let Some(mut stdin) = child.stdin.take() {
            thread::spawn(move || {
                texts.iter().try_for_each(|text| {
                    stdin.write_all(&text)?;
                    stdin.flush()
                })
            });
        }
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || read_lines(stdout, &lines));
        }
        if let Some(stderr) = child.stderr.take() {
            let said = said.clone();
            thread::spawn(move || keep_last_line(stderr, &said));
        }
        Ok(Self { child, input, output, said, ended: false })
    }

    /// Hands text to the program, which reads it when it likes.
    pub fn write(&self, text: Vec<u8>) {
        // A program that has ended is found out by its silence.
        let _ = self.input.send(text);
    }

    /// The program's next line, without its end.
    ///
    /// # Errors
    ///
    /// When none comes by the `deadline`, or it is too long.
    pub fn line(&self, deadline: Instant) -> Result<Vec<u8>, NoLine> {
        let rest = deadline.saturating_duration_since(Instant::now());
        match self.output.recv_timeout(rest) {
            Ok(line) if line.len() > MAX_LINE => Err(NoLine::Long),
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(NoLine::Late),
            Err(RecvTimeoutError::Disconnected) => Err(NoLine::Closed),
        }
    }

    /// Ends the program: how it ended where that was of its own, and its last line on standard
    /// error.
    pub fn end(mut self) -> (Option<ExitStatus>, String) {
        thread::sleep(ENDING);
        let status = self.kill().filter(|status| !was_killed(*status));
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (status, said)
    }

    fn kill(&mut self) -> Option<ExitStatus> {
        self.ended = true;
        kill_group(&mut self.child);
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}

#[cfg(unix)]
fn kill_group(child: &mut Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        // SAFETY: the call takes plain numbers. The child is not waited for yet, so that no other
        // process can have its number.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

#[cfg(not(unix))]
fn kill_group(child: &mut Child) {
    let _ = child.kill();
}

#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGKILL)
}

#[cfg(not(unix))]
fn was_killed(_: ExitStatus) -> bool {
    false
}

/// Hands on the lines, the last cut off where it is too long.
fn read_lines(stdout: impl Read, lines: &SyncSender<Vec<u8>>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        // One byte more than allowed, and the line's end.
        let read = reader.by_ref().take(MAX_LINE as u64 + 2).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            return;
        }
        if line.ends_with(b"\n") {
            line.pop();
        }
        let long = line.len() > MAX_LINE;
        if lines.send(line).is_err() || long {
            return;
        }
    }
}

/// Reads to the end, and keeps the beginning of the last line that is not blank.
fn keep_last_line(stderr: impl Read, said: &Mutex<String>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while reader.by_ref().take(1 << 16).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(line.trim_ascii());
        if !text.is_empty() {
            let text = &text[..text.floor_char_boundary(MAX_SAID)];
            *said.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
        }
        line.clear();
    }
}
