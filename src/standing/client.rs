//! Sends requests to the process that keeps an environment (`parallax up`).

use parallax_vocab::Event;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::handle::{Handle, Handles};
use super::{Line, Question, StandingError};

/// Sends a question to the process that keeps a variant. Calls `see` with every event that the process sends, and
/// returns the last line that the process sends, which is the answer.
pub async fn ask(
    handles: &Handles,
    handle: &Handle,
    question: &Question,
    mut see: impl FnMut(&Event),
) -> Result<Line, StandingError> {
    let run = || handle.run.as_str().to_owned();
    let gone = |_| StandingError::Gone { run: run() };
    let unknown = |error: serde_json::Error| StandingError::Unknown { run: run(), reason: error.to_string() };
    let mut stream = UnixStream::connect(handles.socket(&handle.run)).await.map_err(gone)?;
    let mut text = serde_json::to_vec(question).map_err(unknown)?;
    text.push(b'\n');
    stream.write_all(&text).await.map_err(gone)?;
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line).map_err(unknown)? {
            Line::Event(event) => see(&event),
            last @ (Line::Now(_) | Line::Answer(_)) => return Ok(last),
        }
    }
    Err(StandingError::Ended { run: run() })
}
