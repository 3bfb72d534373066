//! A machine and a person for tests: programs end as a test says, and what was run is kept.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;

use crate::host::{Ended, Host};

/// Every program succeeds and prints nothing, unless there is an answer for how its line begins.
#[derive(Default)]
pub struct Scripted {
    /// What the person types.
    pub answers: VecDeque<String>,
    /// How a command line begins, how the program ends, and what it prints; each is used once.
    pub programs: Vec<(&'static str, Ended, String)>,
    /// What was run, in order.
    pub run: Vec<String>,
    /// What the person saw.
    pub heard: String,
    /// What happens once the person has answered.
    pub after_answer: Option<Box<dyn FnOnce()>>,
}

impl Scripted {
    pub fn typing(answers: &[&str]) -> Self {
        Self {
            answers: answers.iter().map(|answer| format!("{answer}\n")).collect(),
            ..Self::default()
        }
    }

    pub fn with(mut self, command: &'static str, ended: Ended, printed: &str) -> Self {
        self.programs.push((command, ended, printed.to_owned()));
        self
    }

    pub fn has_run(&self, beginning: &str) -> bool {
        self.run.iter().any(|command| command.starts_with(beginning))
    }

    fn next(&mut self, command: &[&str]) -> (Ended, String) {
        let line = command.join(" ");
        let found = self.programs.iter().position(|(beginning, ..)| line.starts_with(beginning));
        self.run.push(line);
        found.map_or((Ended::Exit(0), String::new()), |index| {
            let (_, ended, printed) = self.programs.remove(index);
            (ended, printed)
        })
    }
}

impl Host for Scripted {
    fn run(&mut self, command: &[&str]) -> io::Result<Ended> {
        Ok(self.next(command).0)
    }

    fn capture(&mut self, command: &[&str]) -> io::Result<(Ended, String)> {
        Ok(self.next(command))
    }

    fn hear(&mut self, command: &[&str]) -> io::Result<(Ended, String)> {
        Ok(self.next(command))
    }

    fn bind(&mut self, source: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
        let source = fs::read_link(format!("/proc/self/fd/{}", source.as_raw_fd()))?;
        match self.next(&["bind", &source.display().to_string(), &target.display().to_string()]) {
            (Ended::Exit(0), _) => Ok(()),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn say(&mut self, text: &str) {
        self.heard.push_str(text);
    }

    fn ask(&mut self, prompt: &str) -> io::Result<String> {
        self.say(prompt);
        let answer = self.answers.pop_front().ok_or(io::ErrorKind::UnexpectedEof)?;
        self.after_answer.take().into_iter().for_each(|happen| happen());
        Ok(answer)
    }
}
