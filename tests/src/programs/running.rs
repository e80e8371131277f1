//! A program that runs, with everything it prints.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{DEADLINE, Failure, Result, poll, typed};

/// One of the two things a program prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A started program. It is killed when the handle is dropped.
#[derive(Debug)]
pub struct Running {
    title: String,
    child: Child,
    out: Arc<Printed>,
    err: Arc<Printed>,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The command as it would be typed.
    pub title: String,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Everything it printed to standard output.
    pub stdout: String,
    /// Everything it printed to standard error.
    pub stderr: String,
}

impl Finished {
    /// Itself, when the exit code is 0.
    ///
    /// # Errors
    /// With everything it printed, when the exit code is another.
    pub fn success(self) -> Result<Self> {
        self.with_code(0)
    }

    /// Itself, when the exit code is the expected one.
    ///
    /// # Errors
    /// With everything it printed, when the exit code is another.
    pub fn with_code(self, expected: i32) -> Result<Self> {
        if self.code == Some(expected) {
            return Ok(self);
        }
        let Self {
            title,
            code,
            stdout,
            stderr,
        } = self;
        let ended = code.map_or("a signal".into(), |code| format!("code {code}"));
        Err(Failure::new(format!(
            "`{title}` ended with {ended}, and code {expected} was expected\n{stdout}{stderr}"
        )))
    }
}

/// Runs a program to its end, with nothing on its standard input.
///
/// # Errors
/// When it cannot be started or does not end within [`DEADLINE`].
pub fn run(command: &mut Command) -> Result<Finished> {
    run_with_input(command, "")
}

/// Runs a program to its end, with a text on its standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &str) -> Result<Finished> {
    let mut running = Running::start_with_input(command, input)?;
    let status = running.wait()?;
    Ok(Finished {
        title: running.title.clone(),
        code: status.code(),
        stdout: running.text(Stream::Out),
        stderr: running.text(Stream::Err),
    })
}

impl Running {
    /// Starts a program, with nothing on its standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        Self::start_with(command, Stdio::null())
    }

    /// Starts a program, with a short text on its standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with_input(command: &mut Command, input: &str) -> Result<Self> {
        let mut running = Self::start_with(command, Stdio::piped())?;
        if let Some(mut stdin) = running.child.stdin.take() {
            // A program that ends without reading closes the pipe. That is its right.
            let _ = stdin.write_all(input.as_bytes());
        }
        Ok(running)
    }

    fn start_with(command: &mut Command, stdin: Stdio) -> Result<Self> {
        let title = typed(command);
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| Failure::io(format_args!("starting `{title}`"), &e))?;
        let out = Printed::collect(child.stdout.take());
        let err = Printed::collect(child.stderr.take());
        Ok(Self {
            title,
            child,
            out,
            err,
        })
    }

    /// The command as it would be typed.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines printed so far.
    pub fn lines(&self, stream: Stream) -> Vec<String> {
        self.printed(stream).state().lines.clone()
    }

    /// The text printed so far.
    pub fn text(&self, stream: Stream) -> String {
        let lines = self.lines(stream);
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The first line with `part` in it, printed already or within [`DEADLINE`].
    ///
    /// # Errors
    /// With all that was printed, when the time is over or the program has closed the
    /// stream before.
    pub fn wait_for_line(&self, stream: Stream, part: &str) -> Result<String> {
        self.wait_for_line_after(stream, 0, part)
    }

    /// As [`Self::wait_for_line`], without a look at the first `after` lines.
    ///
    /// # Errors
    /// As [`Self::wait_for_line`].
    pub fn wait_for_line_after(&self, stream: Stream, after: usize, part: &str) -> Result<String> {
        let end = Instant::now() + DEADLINE;
        let printed = self.printed(stream);
        let mut state = printed.state();
        loop {
            let found = state.lines.iter().skip(after).find(|l| l.contains(part));
            if let Some(line) = found {
                return Ok(line.clone());
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                drop(state);
                return Err(self.without_line(part));
            }
            (state, _) = printed
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn without_line(&self, part: &str) -> Failure {
        Failure::new(format!(
            "`{}` did not print {part:?}; it printed\n{}{}",
            self.title,
            self.text(Stream::Out),
            self.text(Stream::Err)
        ))
    }

    /// Sends SIGTERM: end in order.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal. One that has ended already is left alone.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end of the program and of what it prints.
    ///
    /// # Errors
    /// When it has not ended within [`DEADLINE`].
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.wait_at_most(DEADLINE)
    }

    /// As [`Self::wait`], with a limit of its own.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub fn wait_at_most(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of `{}`", self.title);
        let child = &mut self.child;
        let status = super::poll_for(limit, &what, || child.try_wait().ok().flatten())?;
        // A grandchild can keep the pipes open for longer than the program lives, so
        // their end is waited for, but not insisted on.
        let (out, err) = (&self.out, &self.err);
        let _ = super::poll_for(Duration::from_secs(2), "the end of what it prints", || {
            (out.state().ended && err.state().ended).then_some(())
        });
        Ok(status)
    }

    /// How many file descriptors the program has open. Linux only.
    ///
    /// # Errors
    /// When `/proc` has no such process or is not there.
    pub fn open_descriptors(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.pid());
        let entries = std::fs::read_dir(&path).map_err(|e| Failure::io(&path, &e))?;
        Ok(entries.count())
    }

    /// How many of its file descriptors are sockets. Linux only.
    ///
    /// # Errors
    /// As [`Self::open_descriptors`].
    pub fn open_sockets(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.pid());
        let entries = std::fs::read_dir(&path).map_err(|e| Failure::io(&path, &e))?;
        let links = entries.flatten().map(|entry| entry.path().read_link());
        let is_socket = |to: &PathBuf| to.to_string_lossy().starts_with("socket:");
        Ok(links.flatten().filter(is_socket).count())
    }

    /// Waits until no more than `limit` file descriptors are open. Linux only.
    ///
    /// # Errors
    /// When it keeps more open until [`DEADLINE`].
    pub fn wait_for_descriptors(&self, limit: usize) -> Result<()> {
        let what = format!("`{}` with at most {limit} descriptors", self.title);
        poll(&what, || {
            self.open_descriptors()
                .is_ok_and(|n| n <= limit)
                .then_some(())
        })
    }

    fn printed(&self, stream: Stream) -> &Printed {
        match stream {
            Stream::Out => &self.out,
            Stream::Err => &self.err,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a program has printed to one stream.
#[derive(Debug, Default)]
struct Printed {
    state: Mutex<PrintedState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct PrintedState {
    lines: Vec<String>,
    ended: bool,
}

impl Printed {
    fn collect(pipe: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let printed = Arc::new(Self::default());
        let collector = Arc::clone(&printed);
        // Not joined: it ends by itself when the last writer has closed the pipe.
        let _: JoinHandle<()> = std::thread::spawn(move || {
            if let Some(pipe) = pipe {
                collector.read(pipe);
            }
            collector.state().ended = true;
            collector.changed.notify_all();
        });
        printed
    }

    fn read(&self, pipe: impl Read) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line);
            self.state()
                .lines
                .push(text.trim_end_matches(['\n', '\r']).to_owned());
            self.changed.notify_all();
            line.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, PrintedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_program_prints_and_how_it_ends_is_kept() {
        let finished = run_with_input(&mut shell("cat; echo no >&2; exit 3"), "yes\n").unwrap();
        assert_eq!(finished.stdout, "yes\n");
        assert_eq!(finished.stderr, "no\n");
        assert_eq!(finished.code, Some(3));
        let message = finished.success().unwrap_err().to_string();
        assert!(
            message.contains("code 3") && message.contains("no"),
            "{message}"
        );
    }

    #[test]
    fn a_line_is_waited_for() {
        let mut running =
            Running::start(&mut shell("echo one; echo listening on X; sleep 60")).unwrap();
        let line = running.wait_for_line(Stream::Out, "listening").unwrap();
        assert_eq!(line, "listening on X");
        assert!(running.is_running());
        running.terminate();
        assert_eq!(running.wait().unwrap().code(), None);
    }

    #[test]
    fn a_line_that_does_not_come_fails_with_what_was_printed() {
        let running = Running::start(&mut shell("echo wrong >&2")).unwrap();
        let message = running
            .wait_for_line(Stream::Out, "right")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("wrong") && message.contains("right"),
            "{message}"
        );
    }
}
