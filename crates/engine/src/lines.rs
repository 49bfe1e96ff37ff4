//! Splits the output of a container, a tool or an agent into lines of bounded length.
//!
//! The usual `LinesCodec` refuses a line that is too long, and a byte that is not UTF-8. This module cuts the line and
//! replaces the byte instead. The lines that a program prints before it fails are the evidence, and one invalid byte
//! must not remove them.

use std::io;

use futures::{AsyncBufRead, AsyncBufReadExt as _, Stream};
use tokio_util::bytes::{Buf as _, BytesMut};
use tokio_util::codec::Decoder;

/// The length at which a line is cut. No line that the harness reads needs to be longer, and a limit keeps the memory
/// bounded.
pub const LINE_LIMIT_BYTES: usize = 64 * 1024;

/// One line of output, without the newline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CutLine {
    /// The text of the line, without the part that was cut off.
    pub text: String,
    /// Whether the line was longer than `text`. If so, the end of the line is lost.
    pub cut: bool,
}

/// Splits bytes into lines. The bytes may arrive in pieces that end anywhere.
#[derive(Clone, Debug)]
pub struct LineCutter {
    limit_bytes: usize,
    ends: &'static [u8],
    line: Vec<u8>,
    cut: bool,
}

impl Default for LineCutter {
    fn default() -> Self {
        Self::new(LINE_LIMIT_BYTES)
    }
}

impl LineCutter {
    /// Creates a cutter that cuts each line after `limit_bytes` bytes.
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, ends: b"\n", line: Vec::new(), cut: false }
    }

    /// Makes a carriage return end a line too, because tools that show their progress print carriage returns.
    #[must_use]
    pub fn at_returns(self) -> Self {
        Self { ends: b"\n\r", ..self }
    }

    /// Takes bytes up to the end of the current line. Returns how many bytes were taken, and the line if it is
    /// complete.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, Option<CutLine>) {
        let end = bytes.iter().position(|byte| self.ends.contains(byte));
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = self.limit_bytes - self.line.len();
        self.cut |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        (part.len() + usize::from(end.is_some()), end.map(|_| self.line()))
    }

    /// Returns the last line if it has no newline. Call this function after the input has ended.
    pub fn rest(&mut self) -> Option<CutLine> {
        (!self.line.is_empty()).then(|| self.line())
    }

    fn line(&mut self) -> CutLine {
        let text = String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned();
        self.line.clear();
        CutLine { text, cut: std::mem::take(&mut self.cut) }
    }
}

impl Decoder for LineCutter {
    type Item = CutLine;
    type Error = io::Error;

    fn decode(&mut self, from: &mut BytesMut) -> io::Result<Option<CutLine>> {
        let (taken, line) = self.take(from);
        from.advance(taken);
        Ok(line)
    }

    fn decode_eof(&mut self, from: &mut BytesMut) -> io::Result<Option<CutLine>> {
        Ok(self.decode(from)?.or_else(|| self.rest()))
    }
}

/// Splits a stream into lines. If reading fails, the last item is the error, so that the caller can distinguish a
/// broken stream from a complete one.
pub fn lines(reader: impl AsyncBufRead + Send + 'static) -> impl Stream<Item = io::Result<CutLine>> + Send + 'static {
    let state = Some((Box::pin(reader), LineCutter::default()));
    futures::stream::unfold(state, async |state| {
        let (mut reader, mut cutter) = state?;
        loop {
            let chunk = match reader.fill_buf().await {
                Ok(chunk) => chunk,
                Err(why) => return Some((Err(why), None)),
            };
            if chunk.is_empty() {
                return Some((Ok(cutter.rest()?), None));
            }
            let (taken, line) = cutter.take(chunk);
            reader.consume_unpin(taken);
            if let Some(line) = line {
                return Some((Ok(line), Some((reader, cutter))));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, TryStreamExt as _};
    use tokio_util::codec::FramedRead;

    use super::*;

    async fn cut(cutter: LineCutter, bytes: &[u8], chunk: usize) -> Vec<(String, bool)> {
        let lines: Vec<CutLine> =
            FramedRead::with_capacity(bytes, cutter, chunk).try_collect().await.expect("memory can be read");
        lines.into_iter().map(|line| (line.text, line.cut)).collect()
    }

    #[tokio::test]
    async fn lines_are_cut_and_what_is_left_out_is_said() {
        let at_returns = LineCutter::new(4).at_returns();
        for (cutter, bytes, expected) in [
            (
                LineCutter::new(4),
                &b"one\r\n\nlonger\nlast"[..],
                &[("one", false), ("", false), ("long", true), ("last", false)][..],
            ),
            (LineCutter::new(4), b"a\xffb\n", &[("a\u{fffd}b", false)]),
            (LineCutter::new(4), b"1%\r2%\n", &[("1%\r2", true)]),
            (at_returns, b"1%\r2%\n", &[("1%", false), ("2%", false)]),
            (LineCutter::new(4), b"", &[]),
        ] {
            for chunk in [1, 3, 64] {
                let seen = cut(cutter.clone(), bytes, chunk).await;
                let seen: Vec<(&str, bool)> = seen.iter().map(|(text, cut)| (text.as_str(), *cut)).collect();
                assert_eq!(seen, expected, "{bytes:?} by {chunk}");
            }
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_cut_and_the_next_one_is_read() {
        let text = format!("{}\nlast", "x".repeat(LINE_LIMIT_BYTES + 10));
        let reader = futures::io::BufReader::with_capacity(7, futures::io::Cursor::new(text.into_bytes()));
        let all: Vec<CutLine> = lines(reader).try_collect().await.expect("whole");
        let lengths: Vec<_> = all.iter().map(|it| (it.text.len(), it.cut)).collect();
        assert_eq!(lengths, [(LINE_LIMIT_BYTES, true), (4, false)]);
    }

    #[tokio::test]
    async fn a_stream_that_breaks_does_not_end_like_one_that_is_over() {
        let chunks = [Ok(&b"one\ntw"[..]), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
        let all: Vec<io::Result<CutLine>> = lines(futures::stream::iter(chunks).into_async_read()).collect().await;
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(all[0].as_ref().expect("a line").text, "one");
        assert_eq!(all[1].as_ref().expect_err("broken").kind(), io::ErrorKind::ConnectionReset);
    }
}
