//! Splits a stream of bytes into lines of bounded length.

use std::io;

use futures::{AsyncBufRead, AsyncBufReadExt as _, Stream};

use super::{LINE_LIMIT_BYTES, Line};

/// Splits a stream into lines of bounded length. If the stream breaks, the last item is the error, so that a broken
/// stream differs from a complete one.
pub(super) fn lines(
    reader: impl AsyncBufRead + Send + 'static,
) -> impl Stream<Item = io::Result<Line>> + Send + 'static {
    let state = Some((Box::pin(reader), Vec::new(), false));
    futures::stream::unfold(state, async |state| {
        let (mut reader, mut line, mut cut) = state?;
        loop {
            let chunk = match reader.fill_buf().await {
                Ok(chunk) => chunk,
                Err(why) => return Some((Err(why), None)),
            };
            if chunk.is_empty() {
                return (!line.is_empty()).then(|| (Ok(text(&line, cut)), None));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = LINE_LIMIT_BYTES.saturating_sub(line.len());
            cut |= part.len() > room;
            line.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(chunk.len(), |end| end + 1);
            reader.consume_unpin(used);
            if end.is_some() {
                return Some((Ok(text(&line, cut)), Some((reader, Vec::new(), false))));
            }
        }
    })
}

fn text(line: &[u8], cut: bool) -> Line {
    Line { text: String::from_utf8_lossy(line).trim_end_matches('\r').to_owned(), cut, ..Line::default() }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, TryStreamExt as _};

    use super::*;

    #[tokio::test]
    async fn a_stream_is_cut_into_lines_and_what_is_left_out_is_said() {
        let long = "x".repeat(LINE_LIMIT_BYTES + 10);
        let text = format!("one\r\n\n{long}\nlast");
        let reader = futures::io::BufReader::with_capacity(7, futures::io::Cursor::new(text.into_bytes()));
        let all: Vec<Line> = lines(reader).try_collect().await.expect("whole");
        let lengths: Vec<_> = all.iter().map(|it| (it.text.len(), it.cut)).collect();
        assert_eq!(lengths, [(3, false), (0, false), (LINE_LIMIT_BYTES, true), (4, false)]);
        assert_eq!((all[0].text.as_str(), all[3].text.as_str()), ("one", "last"));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_does_not_end_like_one_that_is_over() {
        let chunks = [Ok(&b"one\ntw"[..]), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
        let reader = futures::stream::iter(chunks).into_async_read();
        let all: Vec<io::Result<Line>> = lines(reader).collect().await;
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(all[0].as_ref().expect("a line").text, "one");
        assert_eq!(all[1].as_ref().expect_err("broken").kind(), io::ErrorKind::ConnectionReset);
    }
}
