//! Reads the output of containers.

use std::collections::VecDeque;

use futures::{StreamExt as _, TryStreamExt as _};
use testcontainers::bollard::container::LogOutput;
use testcontainers::bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::connect::Engine;
use super::error::EngineError;
use super::lines::LineCutter;

/// The stream on which a line was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The standard output of the container.
    Stdout,
    /// The standard error of the container.
    Stderr,
}

/// One line that a container printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The stream on which the line was printed.
    pub stream: Stream,
    /// The line, without the newline.
    pub text: String,
}

/// Lines that were read from a container's log and selected by their time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The lines that the caller's filter selected by their time.
    pub lines: Vec<String>,
    /// The number of lines that were read, including those that the caller's filter did not select.
    pub read: usize,
}

impl Engine {
    /// The last lines that a container printed, at most `tail`. The lines of stdout and stderr are mixed in the order
    /// of their arrival.
    pub async fn logs(&self, name: &str, tail: usize) -> Result<Vec<String>, EngineError> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&tail.to_string()).build();
        let mut lines = VecDeque::new();
        let mut stream = std::pin::pin!(self.lines(name, options));
        while let Some(line) = stream.try_next().await? {
            if lines.len() == tail {
                lines.pop_front();
            }
            lines.push_back(line.text);
        }
        Ok(lines.into())
    }

    /// Reads the last lines that a container printed, at most `tail`, and returns the lines whose time `counts`
    /// accepts. The times come from the engine's clock.
    pub async fn logs_when(
        &self,
        name: &str,
        tail: usize,
        counts: impl Fn(OffsetDateTime) -> bool,
    ) -> Result<Written, EngineError> {
        let options =
            LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).tail(&tail.to_string()).build();
        let lines: Vec<LogLine> = self.lines(name, options).try_collect().await?;
        let counting = lines.iter().filter_map(|line| when(&line.text, &counts)).map(str::to_owned);
        Ok(Written { lines: counting.collect(), read: lines.len() })
    }

    /// Every line that a container prints, from its start until it exits. To stop reading, drop the stream.
    pub fn follow_logs(&self, name: &str) -> impl futures::Stream<Item = Result<LogLine, EngineError>> + Send + use<> {
        self.lines(name, LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).build())
    }

    fn lines(
        &self,
        name: &str,
        options: LogsOptions,
    ) -> impl futures::Stream<Item = Result<LogLine, EngineError>> + Send + use<> {
        let doing = format!("read the log of container {name}");
        let mut cutter = Cutter::default();
        // Some engines send no byte of a followed log before the container's first line, which may come late.
        // Therefore a followed log needs the client with the long time limit. The last item of the stream below is
        // `None`. It makes the cutter return a last line that has no newline.
        let docker = if options.follow { self.patient() } else { self.docker.clone() };
        docker
            .logs(name, Some(options))
            .map(Some)
            .chain(futures::stream::iter([None]))
            .map(move |output| match output {
                Some(Ok(output)) => Ok(cutter.push(output)),
                Some(Err(source)) => Err(EngineError::Call { doing: doing.clone(), source }),
                None => Ok(cutter.rest()),
            })
            .map_ok(|lines| futures::stream::iter(lines.into_iter().map(Ok)))
            .try_flatten()
    }
}

/// The text of a log line without the timestamp at its beginning; `None` if `counts` does not accept the timestamp.
fn when(line: &str, counts: impl Fn(OffsetDateTime) -> bool) -> Option<&str> {
    let (at, text) = line.split_once(' ').unwrap_or((line, ""));
    let at = OffsetDateTime::parse(at, &Rfc3339).ok()?;
    counts(at).then_some(text)
}

/// Splits the output of a container into lines, separately for stdout and stderr.
#[derive(Default)]
struct Cutter {
    stdout: LineCutter,
    stderr: LineCutter,
}

impl Cutter {
    fn push(&mut self, output: LogOutput) -> Vec<LogLine> {
        let (stream, cutter) = match &output {
            LogOutput::StdErr { .. } => (Stream::Stderr, &mut self.stderr),
            _ => (Stream::Stdout, &mut self.stdout),
        };
        let bytes = output.into_bytes();
        let (mut lines, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let (taken, line) = cutter.take(&bytes[at..]);
            at += taken;
            lines.extend(line.map(|line| LogLine { stream, text: line.text }));
        }
        lines
    }

    fn rest(&mut self) -> Vec<LogLine> {
        [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)]
            .into_iter()
            .filter_map(|(stream, cutter)| Some(LogLine { stream, text: cutter.rest()?.text }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_printed_later_counts() {
        let since = OffsetDateTime::parse("2026-11-22T21:42:16.5Z", &Rfc3339).expect("an instant");
        for (line, expected) in [
            ("2026-11-22T21:42:16.499999999Z early", None),
            ("2026-11-22T21:42:16.500000001Z late enough", Some("late enough")),
            ("2026-11-22T21:42:17Z ", Some("")),
            ("2026-11-22T21:42:17Z", Some("")),
            ("no instant", None),
        ] {
            assert_eq!(when(line, |at| at >= since), expected, "{line}");
        }
    }

    #[test]
    fn lines_are_cut_for_each_stream() {
        let mut cutter = Cutter::default();
        let out = |text: &'static str| LogOutput::StdOut { message: text.into() };
        let err = |text: &'static str| LogOutput::StdErr { message: text.into() };
        let mut seen = Vec::new();
        for chunk in [out("a\nb"), err("x\r\ny"), out("c\n\n")] {
            seen.extend(cutter.push(chunk));
        }
        seen.extend(cutter.rest());
        let seen: Vec<_> = seen.iter().map(|line| (line.stream, line.text.as_str())).collect();
        let (o, e) = (Stream::Stdout, Stream::Stderr);
        assert_eq!(seen, [(o, "a"), (e, "x"), (o, "bc"), (o, ""), (e, "y")]);
    }
}
